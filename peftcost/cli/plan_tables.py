"""What `peftcost plan` shows."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.pricing import Plan, PlannedSetup

SHOWN = ("rank", "top_layers", "bottleneck", "virtual_tokens")
"""Choices that tell a plan's setups apart."""


def plan_tables(plan: Plan, budget: str | None) -> list[RenderableType]:
    """A line of what was assumed, the table, what cannot be trained, and what the budget buys."""
    head = Text(
        f"{plan.model} on {plan.device} ({format_bytes(plan.memory_bytes)}): {plan.rows:,} rows of up to {plan.tokens} "
        f"tokens, {plan.batch_size} a step. Predicted, nothing was trained."
    )
    shown: list[RenderableType] = [head, setups_table(plan)]
    refused = [s for s in plan.setups if s.reason is not None]
    shown += [Text(f"{s.method} cannot be trained: {s.reason}", style="dim") for s in refused]
    shown.append(
        Text("memory: of all tensors at the peak; needs: what the device must have free for it, to be sure.", style="dim")
    )
    if plan.buys is not None:
        shown.append(Text(buys_sentence(plan, str(budget))))
    return shown


def setups_table(plan: Plan) -> Table:
    """One row a setup; what its memory is made of stands below its name."""
    table = Table(box=SIMPLE, pad_edge=False, expand=True)
    table.add_column("setup\ntrained, a step", ratio=1)
    table.add_column("memory\nweights+state+activ", justify="right", no_wrap=True)
    priced = any(s.price is not None for s in plan.setups)
    for name in ["needs", "step", "epoch", *(["price"] if priced else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fits", max_width=14)
    for setup in plan.setups:
        if setup.reason is None:
            price = [f"{setup.price:.2f}"] if setup.price is not None else []
            table.add_row(described(setup), memory_cell(setup), *figures(setup), *price, Text(fit_words(setup)))
    return table


def described(setup: PlannedSetup) -> Text:
    """The setup, what it trains and computes."""
    gflop = f"{setup.flops_per_step / 1e9:,.0f} GFLOP"
    return Text.assemble((name_of(setup), "bold"), (f"\n{count(setup.trainable_parameters)}, {gflop}", "dim"))


def memory_cell(setup: PlannedSetup) -> Text:
    """The peak, and what it is made of: weights, gradients with optimizer states, activations with temporaries."""
    parts = setup.parts
    sums = (parts["weights"], parts["gradients"] + parts["optimizer"], parts["activations"] + parts["temporary"])
    made_of = "+".join(short(n) for n in sums)
    return Text.assemble(format_bytes(setup.peak_bytes), (f"\n{made_of}", "dim"))


def name_of(setup: PlannedSetup) -> str:
    told = [f"{key.replace('_', ' ')} {setup.hyperparameters[key]}" for key in SHOWN if setup.hyperparameters.get(key)]
    return " ".join([setup.method, *told])


def figures(setup: PlannedSetup) -> list[str]:
    return [
        format_bytes(setup.needed_bytes),
        spell_step(setup.seconds_per_step),
        format_seconds(setup.gpu_seconds),
    ]


def spell_step(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1e3:.2g} ms"


def short(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f}G" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f}M"


def count(n: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return str(n)


def fit_words(setup: PlannedSetup) -> str:
    """Yes; or what would make it fit."""
    if setup.fits:
        return "yes"
    if setup.would_fit_with is None:
        return "no; nf4-lora takes least" if setup.method != "nf4-lora" else "no"
    words = []
    if "micro_batch_size" in setup.would_fit_with:
        words.append(f"micro-batches of {setup.would_fit_with['micro_batch_size']}")
    if setup.would_fit_with.get("gradient_checkpointing"):
        words.append("gradient checkpointing")
    return "with " + " and ".join(words)


def buys_sentence(plan: Plan, budget: str) -> str:
    buys = plan.buys or {}
    if not buys["methods"]:
        return f"{budget} buys no setup with its test; give more."
    return (
        f"{budget} buys about {buys['setups']} setups of {buys['stop_examples']:,} examples ({buys['epochs']:.2g} epochs) "
        f"over {len(buys['methods'])} methods ({', '.join(buys['methods'])}), {buys['confirmations']} confirming trainings, "
        "and the test."
    )
