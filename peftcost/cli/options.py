"""The options that several commands share, in groups."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from peftcost.core.setup import LARGEST_SEED
from peftcost.errors import UserError

TASK = "Task"
BUDGET = "Budget and devices"
SEARCH = "Search"
OUTPUT = "Output"


class Grouped(TyperCommand):
    """A command whose help shows each option under its `rich_help_panel`, and the others under Options. Its numbers are some.

    The help is plain text: rich would take as long to import as the rest of `--help`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse NaN, which no gate would fail and no limit would bound."""
        rest = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            if isinstance(value, float) and math.isnan(value):
                raise UserError(f"--{name.replace('_', '-')} is no number; give one, or leave it out.")
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
        for name in sorted(groups, key=lambda name: name == "Options"):
            with formatter.section(name):
                formatter.write_dl(groups[name])


Source = Annotated[
    str | None, typer.Argument(help="A data file (CSV, TSV, JSONL, Parquet, datasets folder).", rich_help_panel=TASK)
]
RunFolder = Annotated[Path, typer.Argument(help="The run's folder.", rich_help_panel=TASK)]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="A task.yaml, or builtin:NAME. Default ./task.yaml.", rich_help_panel=TASK)
]
LabelOption = Annotated[str | None, typer.Option("--label", help="The label column of the data file.", rich_help_panel=TASK)]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="The base: a hub id, a folder, or builtin:NAME. Default: the task's.", rich_help_panel=TASK),
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option("--max-length", min=4, help="Tokens at which inputs are cut. Default: the task's.", rich_help_panel=TASK),
]
BudgetOption = Annotated[
    str | None,
    typer.Option("--budget", help="4gpu-h, 30gpu-min, 2h (wall clock), 10usd (with --price).", rich_help_panel=BUDGET),
]
PriceOption = Annotated[
    float | None, typer.Option("--price", help="Money per GPU-hour, for budgets in usd.", rich_help_panel=BUDGET)
]
DevicesOption = Annotated[
    str | None, typer.Option("--devices", help="cpu, cpu:2, cuda, cuda:4, mps.", rich_help_panel=BUDGET)
]
DevicesPerSetupOption = Annotated[
    int,
    typer.Option("--devices-per-setup", min=1, help="Train each setup on so many devices together.", rich_help_panel=BUDGET),
]
MethodsOption = Annotated[
    str | None, typer.Option("--methods", help="Comma-separated; all: every one that can run.", rich_help_panel=SEARCH)
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=LARGEST_SEED, help="Seeds the split, the training and the proposals.", rich_help_panel=SEARCH
    ),
]
WarmStartOption = Annotated[
    list[Path] | None,
    typer.Option("--warm-start", help="An earlier run or recipe of a similar task; can be repeated.", rich_help_panel=SEARCH),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        help="With which a cheaper setup must be shown as good. Default 0.95.",
        rich_help_panel=SEARCH,
    ),
]
SkipBadRowsOption = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be used, and list them.", rich_help_panel=TASK)
]
KeepOption = Annotated[
    str,
    typer.Option("--keep", help="Whose models stay whole: recommended, front, all.", rich_help_panel=OUTPUT),
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option("--track", help="tensorboard, mlflow or wandb; can be repeated.", rich_help_panel=OUTPUT),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="The run's folder. Default runs/NAME.", rich_help_panel=OUTPUT)
]
NoExamplesOption = Annotated[
    bool,
    typer.Option("--no-examples", help="Show no row of the data in the report, for private data.", rich_help_panel=OUTPUT),
]
AllOption = Annotated[
    bool,
    typer.Option("--all", help="Show every setup, not only the trade-offs and each method's best.", rich_help_panel=OUTPUT),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result.", rich_help_panel=OUTPUT)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=OUTPUT)]


def names_of(methods: str | None) -> list[str] | None:
    """The methods of a comma-separated list."""
    return [name.strip() for name in methods.split(",")] if methods else None
