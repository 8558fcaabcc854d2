"""Preference data: of two answers to a prompt the one that was chosen, and the one that was rejected."""

from __future__ import annotations

from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.conversations import holds_conversations, holds_turns, turns_of

SIDES = (("chosen", "rejected"), ("preferred_output", "non_preferred_output"))
"""What files call the two, TRL's and OpenAI's."""
VERDICT = "label"
"""Of single answers, as in KTO: whether it is a good one."""


def holds_preferences(table: Table) -> bool:
    """Whether a file has both of their columns."""
    return _sides(table) is not None


def check_no_preferences(table: Table, task: str, prompt: str | None) -> None:
    """UserError for a file of preferences, with the columns by which its chosen side is learnt. prompt: the column of
    prompts, if there is one."""
    if (sides := _sides(table)) is None:
        return
    chosen, rejected = sides
    columns = _columns(table, chosen, prompt)
    raise UserError(
        f"{table.path} holds preference data for DPO or reward models (the columns {chosen!r} and {rejected!r}), which "
        f"peftcost does not train; to learn what was chosen alone, write a task.yaml with `task: {task}` and "
        f"`columns: {{{', '.join(f'{role}: {name}' for role, name in columns.items())}}}`."
    )


def check_no_verdicts(table: Table, task: str, messages: str) -> None:
    """UserError for conversations of which a column of true and false says whether they are good ones."""
    verdict = next((name for name in table.columns if name.lower() == VERDICT), None)
    if verdict is None or not {str(row.get(verdict)).lower() for row in table.rows} <= {"true", "false"}:
        return
    raise UserError(
        f"{table.path} holds conversations that are good or bad (the column {verdict!r}), as for KTO, which peftcost does "
        f"not train; to learn the good ones, keep their rows alone and remove the column, or, to learn all of them, write a "
        f"task.yaml with `task: {task}` and `columns: {{messages: {messages}}}`."
    )


def _sides(table: Table) -> tuple[str, str] | None:
    names = {name.lower(): name for name in table.columns}
    found = next((sides for sides in SIDES if set(sides) <= names.keys()), None)
    return None if found is None else (names[found[0]], names[found[1]])


def _columns(table: Table, chosen: str, prompt: str | None) -> dict[str, str]:
    """Conversations of some data sets begin with the prompt, which stands in a column of its own beside."""
    if holds_conversations(table, chosen):
        at = next(i for i, row in enumerate(table.rows) if holds_turns(row.get(chosen)))
        first = turns_of(table.rows[at][chosen], f"{table.place(at)}, column {chosen!r}")[0]
        if prompt is None or first["role"] != "assistant":
            return {"messages": chosen}
    return {"text": chosen} if prompt is None else {"prompt": prompt, "completion": chosen}
