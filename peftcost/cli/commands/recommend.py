"""`peftcost recommend`"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peftcost.cli.options import OUTPUT, ConfidenceOption, JsonOption, PriceOption, RunFolder
from peftcost.cli.output import print_json

if TYPE_CHECKING:
    from peftcost.recommend.policies import Recommendation
    from peftcost.recommend.schema import Result

QUESTION = "Question"


def recommend(
    run: RunFolder,
    policy: Annotated[
        str,
        typer.Option("--policy", help="non-inferior, best-quality, knee, cheapest, lowest-memory.", rich_help_panel=QUESTION),
    ] = "non-inferior",
    min_quality: Annotated[
        float | None, typer.Option("--min-quality", help="The least dev quality, as in 0.9.", rich_help_panel=QUESTION)
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option("--max-memory", help="The most memory, as in 8GB or 500MB.", rich_help_panel=QUESTION)
    ] = None,
    max_gpu_seconds: Annotated[
        float | None, typer.Option("--max-gpu-seconds", help="The most device time of a training.", rich_help_panel=QUESTION)
    ] = None,
    setup: Annotated[
        str | None, typer.Option("--setup", help="The id of a setup that you have chosen yourself.", rich_help_panel=QUESTION)
    ] = None,
    confidence: ConfidenceOption = None,
    price: PriceOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the recipe of what is chosen here.", rich_help_panel=OUTPUT)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put another question to the evidence of a run; trains nothing. With -o recipe.yaml, write the answer's recipe."""
    from dataclasses import asdict

    from peftcost.api import Run
    from peftcost.cli.show_result import print_advice
    from peftcost.core.budget import check_price
    from peftcost.core.memory import parse_bytes
    from peftcost.recipe.recipe import recipe_of, recipe_yaml
    from peftcost.report.advice import advice, train_command
    from peftcost.store.outputs import write_out
    from peftcost.task.task import load_task

    check_price(price)
    opened = Run(run)
    found = opened.recommend(
        policy,
        confidence=confidence,
        min_quality=min_quality,
        max_memory_bytes=parse_bytes(max_memory) if max_memory else None,
        max_gpu_seconds=max_gpu_seconds,
        setup=setup,
    )
    result, facts = opened.result, asdict(found)
    if out is not None:
        recipe = recipe_of(result, found, load_task(opened.folder.task_file), result.task.seed, opened.folder.name)
        write_out(out, recipe_yaml(recipe))
    if price is not None:
        facts["usd"] = found.gpu_seconds / 3600 * price
    if as_json:
        print_json(facts)
        return
    command = train_command(str(out)) if out is not None else recipe_command(run, found, result)
    print_advice(advice(opened.folder.read_result() | {"recommendation": asdict(found)}, str(run), command))
    if price is not None:
        print(f"A training costs {facts['usd']:.4f} at {price} per GPU-hour.")
    if out is not None:
        print(f"Wrote {out}.")


def recipe_command(run: Path, found: Recommendation, result: Result) -> str | None:
    """What writes the recipe of what is chosen here; None where the run has it already."""
    if result.recommendation is not None and result.recommendation.id == found.id:
        return None
    return f"peftcost recommend {shlex.quote(str(run))} --setup {found.id} -o recipe.yaml"
