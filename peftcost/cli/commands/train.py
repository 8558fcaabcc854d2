"""`peftcost train`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftcost.cli.options import OUTPUT, TASK, DevicesOption, DevicesPerSetupOption, JsonOption, QuietOption
from peftcost.cli.output import print_json, progress_printer
from peftcost.core.setup import LARGEST_SEED

TRAINING = "Training"
GATE = "Gate"


def train(
    recipe: Annotated[Path, typer.Argument(help="recipe.yaml of a run, or the run's folder.", rich_help_panel=TASK)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model's folder.", rich_help_panel=OUTPUT)],
    data: Annotated[
        str | None, typer.Option("--data", help="New data in place of the recipe's.", rich_help_panel=TASK)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, max=LARGEST_SEED, help="Default: one that the search has not used.", rich_help_panel=TRAINING
        ),
    ] = None,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            "--early-stopping",
            min=1,
            help="Stop after so many dev evaluations without a rise.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    min_quality: Annotated[
        float | None, typer.Option("--min-quality", help="The least dev quality, as in 0.9.", rich_help_panel=GATE)
    ] = None,
    gate_rows: Annotated[
        int | None,
        typer.Option(
            "--gate-rows",
            min=1,
            help="Of new data: rows that are held out for the gate. Default: as few as resolve the margin, at most a fifth.",
            rich_help_panel=GATE,
        ),
    ] = None,
    gate_against: Annotated[
        Path | None,
        typer.Option(
            "--gate-against",
            help="A model that was trained before: on the gate's rows the new one may be worse by the margin at most.",
            rich_help_panel=GATE,
        ),
    ] = None,
    allow_other_classes: Annotated[
        bool,
        typer.Option("--allow-other-classes", help="New data may have other classes than the recipe.", rich_help_panel=GATE),
    ] = False,
    no_gate: Annotated[
        bool,
        typer.Option(
            "--no-gate",
            help="Hold it to nothing that the recipe promises, whatever the data; only to what these options ask for.",
            rich_help_panel=GATE,
        ),
    ] = False,
    devices: DevicesOption = None,
    devices_per_setup: DevicesPerSetupOption = 1,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Production: train a recipe's setup again, on new data, with a quality and cost gate (exit code 3)."""
    from peftcost.recipe.gate import promise_text
    from peftcost.recipe.recipe import load_recipe
    from peftcost.recipe.train import train_recipe

    done = train_recipe(
        load_recipe(recipe),
        out,
        data=data,
        seed=seed,
        devices=devices,
        devices_per_setup=devices_per_setup,
        early_stopping=early_stopping,
        min_quality=min_quality,
        gate_rows=gate_rows,
        gate_against=gate_against,
        allow_other_classes=allow_other_classes,
        gate=not no_gate,
        on_progress=progress_printer(quiet),
    )
    if as_json:
        print_json(done.report)
        return
    rows, gate = done.report["rows"], done.report["gate"]
    sees = f"; the gate sees a drop of {gate['drop_seen']:.3f} or more" if gate and gate["drop_seen"] else ""
    print(
        f"{done.folder}: trained on {rows['train']} rows, dev quality {done.report['quality']:.3f} on {rows['dev']} rows "
        f"(promised: {promise_text(done.report['promised_interval'])}{sees})"
    )
