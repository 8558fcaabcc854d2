"""Preference data: of two answers to a prompt the one that was chosen, and the one that was rejected."""

from __future__ import annotations

from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.conversations import holds_conversations, holds_turns, turns_of

SIDES = ("chosen", "rejected")


def holds_preferences(table: Table) -> bool:
    """Whether a file has both of their columns."""
    return set(SIDES) <= {name.lower() for name in table.columns}


def check_no_preferences(table: Table, task: str, prompt: str | None) -> None:
    """UserError for a file of preferences, with the columns by which its chosen side is learnt. prompt: the column of
    prompts, if there is one."""
    if not holds_preferences(table):
        return
    names = {name.lower(): name for name in table.columns}
    chosen, rejected = (names[side] for side in SIDES)
    columns = _columns(table, chosen, prompt)
    raise UserError(
        f"{table.path} holds preference data for DPO or reward models (the columns {chosen!r} and {rejected!r}), which "
        f"peftcost does not train; to learn what was chosen alone, write a task.yaml with `task: {task}` and "
        f"`columns: {{{', '.join(f'{role}: {name}' for role, name in columns.items())}}}`."
    )


def _columns(table: Table, chosen: str, prompt: str | None) -> dict[str, str]:
    """Conversations of some data sets begin with the prompt, which stands in a column of its own beside."""
    if holds_conversations(table, chosen):
        at = next(i for i, row in enumerate(table.rows) if holds_turns(row.get(chosen)))
        first = turns_of(table.rows[at][chosen], f"{table.place(at)}, column {chosen!r}")[0]
        if prompt is None or first["role"] != "assistant":
            return {"messages": chosen}
    return {"text": chosen} if prompt is None else {"prompt": prompt, "completion": chosen}
