"""What `peftcost plan` shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.core.setup import TRAINING_DEFAULTS
from peftcost.core.setup_words import setup_words
from peftcost.planning import Plan, PlannedSetup
from peftcost.planning.writing import PlannedWriting

ASIDE = (
    "memory: of all tensors at the peak, which --json takes apart; needs: what the device must have free for it, to be sure. "
    "step: of one batch; epoch: of all rows, once."
)
SMALLER_PASSES = (
    "4 a pass: it fits in micro-batches of 4, which accumulate; ckpt: with gradient checkpointing, a third slower."
)


def plan_tables(plan: Plan, budget: str | None) -> list[RenderableType]:
    """A line of what was assumed, the table, what cannot be trained, and what the budget buys. Made for 80 columns."""
    head = Text(
        f"{plan.model} for {plan.task} on {plan.device} ({format_bytes(plan.memory_bytes)}): {plan.rows:,} rows of up to "
        f"{plan.tokens} tokens, {plan.batch_size} a step. Predicted, nothing was trained."
    )
    shown: list[RenderableType] = [head]
    possible = [s for s in plan.setups if s.reason is None]
    if possible:
        shown += [setups_table(possible), Text(ASIDE, style="dim")]
    if any(s.would_fit_with for s in possible):
        shown.append(Text(SMALLER_PASSES, style="dim"))
    refused = [s for s in plan.setups if s.reason is not None]
    shown += [Text(f"{s.method} cannot be trained: {s.reason}", style="dim") for s in refused]
    if plan.writing is not None:
        shown.append(Text(writing_sentence(plan.writing)))
    if plan.buys is not None:
        shown.append(Text(buys_sentence(plan, str(budget))))
    return shown


def setups_table(setups: Sequence[PlannedSetup]) -> Table:
    """One line a setup."""
    table = Table(box=SIMPLE, pad_edge=False, padding=0)
    table.add_column("setup", min_width=20)
    priced = any(s.price is not None for s in setups)
    for name in ["trained", "memory", "needs", "step", "epoch", *(["price"] if priced else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fits", no_wrap=True)
    for setup in setups:
        price = [f"{setup.price:.2f}"] if setup.price is not None else []
        table.add_row(Text(name_of(setup), style="bold"), *figures(setup), *price, Text(fit_words(setup)))
    return table


def name_of(setup: PlannedSetup) -> str:
    """The method with its own choices."""
    own = {key: value for key, value in setup.hyperparameters.items() if key not in TRAINING_DEFAULTS}
    return setup_words(setup.method, own, None)


def figures(setup: PlannedSetup) -> list[str]:
    return [
        count(setup.trainable_parameters),
        format_bytes(setup.peak_bytes),
        format_bytes(setup.needed_bytes),
        spell_step(setup.seconds_per_step),
        format_seconds(setup.gpu_seconds),
    ]


def spell_step(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1e3:.2g} ms"


def count(n: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return str(n)


def fit_words(setup: PlannedSetup) -> str:
    """Yes, no, or what would make it fit."""
    if setup.would_fit_with is None:
        return "yes" if setup.fits else "no"
    words = []
    if "micro_batch_size" in setup.would_fit_with:
        words.append(f"{setup.would_fit_with['micro_batch_size']} a pass")
    if setup.would_fit_with.get("gradient_checkpointing"):
        words.append("ckpt")
    return ", ".join(words)


def writing_sentence(writing: PlannedWriting) -> str:
    return (
        f"At its end a search lets {writing.models} models answer {writing.rows:,} test prompts, with up to "
        f"{writing.new_tokens:,} tokens each: about {format_seconds(writing.gpu_seconds)}."
    )


def buys_sentence(plan: Plan, budget: str) -> str:
    buys = plan.buys or {}
    if not buys["methods"]:
        return f"{budget} buys no setup with its test; give more."
    return (
        f"{budget} buys about {buys['setups']} setups of {buys['stop_examples']:,} examples ({buys['epochs']:.2g} epochs) "
        f"over {len(buys['methods'])} methods ({', '.join(buys['methods'])}), {buys['confirmations']} confirming trainings, "
        "and the test."
    )
