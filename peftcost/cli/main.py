"""The command line: thin. Each command imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import peftcost
from peftcost.cli.options import (
    BudgetOption,
    ConfidenceOption,
    DevicesOption,
    Grouped,
    JsonOption,
    LabelOption,
    MethodsOption,
    OutOption,
    PriceOption,
    QuietOption,
    SeedOption,
    Source,
    TaskOption,
    WarmStartOption,
)
from peftcost.cli.output import print_json
from peftcost.errors import EnvironmentFailure, PeftcostError, UserError

app = typer.Typer(
    name="peftcost",
    help="The cheapest fine-tuning setup that is as good as the best one, found within your GPU budget.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt within a command; those before it pass through."""
NOT_LOST = "Nothing that a search has finished is lost: `peftcost resume RUN` goes on."
DEMO_BUDGET = "8.5gpu-min"
DEMO_ROWS = {"train": 2000, "dev": 800, "test": 1200}


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"peftcost {peftcost.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """The options that stand before a command."""


@app.command()
def demo(quiet: QuietOption = False, seed: SeedOption = 0, out: OutOption = None) -> None:
    """The main job on the built-in task: six methods on tweets, in about eight minutes on two cores."""
    from peftcost.task.task import load_task

    task = load_task("builtin:tweets").model_copy(update={"rows": load_rows(DEMO_ROWS)})
    from peftcost.cli.search import run_search

    run_search(task, DEMO_BUDGET, None, seed, None, None, out, [], None, quiet, False)


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="The data file.")],
    label: LabelOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the task.")] = Path("task.yaml"),
) -> None:
    """Look at the data and write a commented task.yaml."""
    from peftcost.task.draft import draft_task_yaml

    text = draft_task_yaml(data, label, folder=out.parent)
    if out.exists():
        raise UserError(f"{out} exists already; move it away or choose another --out.")
    out.write_text(text, encoding="utf-8")
    print(f"Wrote {out}. Next: peftcost search --budget 10gpu-min")


@app.command()
def plan(
    task: TaskOption = None,
    model: Annotated[str | None, typer.Option("--model", help="In place of a task; a config.json is enough.")] = None,
    device: Annotated[str, typer.Option("--device", help="this, cpu, h100, a100-80gb, rtx4090, t4, FILE.")] = "this",
    budget: BudgetOption = None,
    price: PriceOption = None,
    methods: MethodsOption = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Examples per step.")] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Tokens at which inputs are cut.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", help="Training rows, with --model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Before spending: predicted memory, time and cost of each method, and what would make it fit."""
    from rich.console import Console

    from peftcost.cli.plan import plan_tables
    from peftcost.pricing import plan as make_plan

    if task is None and model is None:
        task = "task.yaml"
    chosen = names_of(methods)
    found = make_plan(
        task,
        model=model,
        device=device,
        budget=budget,
        price=price,
        methods=chosen,
        batch_size=batch_size,
        max_length=max_length,
        rows=rows,
        on_progress=say(as_json),
    )
    if as_json:
        print_json(found.as_dict())
        return
    for part in plan_tables(found, budget):
        Console().print(part)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """What this machine has, whether training works on it, and what to do about what is wrong."""
    from rich.console import Console

    from peftcost.cli.doctor import doctor_tables
    from peftcost.doctor import examine, told

    found = examine(say(as_json))
    if as_json:
        print_json(told(found))
    else:
        for part in doctor_tables(found):
            Console().print(part)
    if found.obstacle is not None:
        raise EnvironmentFailure(f"Nothing can be trained here: {found.obstacle}.")


@app.command(cls=Grouped)
def search(
    source: Source = None,
    task: TaskOption = None,
    label: LabelOption = None,
    budget: BudgetOption = None,
    methods: MethodsOption = None,
    seed: SeedOption = 0,
    devices: DevicesOption = None,
    price: PriceOption = None,
    out: OutOption = None,
    warm_start: WarmStartOption = None,
    confidence: ConfidenceOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the cheapest setup that is as good as the best one, within the budget. The main job."""
    from peftcost.cli.search import print_sizes, run_search
    from peftcost.task.task import load_task

    if source is not None and task is not None:
        raise UserError("Give either a data file or --task, not both.")
    names = names_of(methods)
    loaded = load_task(source or task or "task.yaml", label)
    if budget is None:
        print_sizes(loaded, names, seed, devices, price)
        return
    run_search(loaded, budget, names, seed, devices, price, out, warm_start or [], confidence, quiet, as_json)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    budget: Annotated[str | None, typer.Option("--budget", help="More budget, as in +1gpu-h.")] = None,
    price: PriceOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run after a kill, a reboot or a pre-emption; with --budget +1gpu-h, go on further."""
    from peftcost import api
    from peftcost.cli.progress import watching
    from peftcost.cli.search import show_result

    with watching(quiet) as view:
        finished = api.resume(run, budget, price=price, observers=[view])
    show_result(finished, quiet, as_json)


@app.command()
def recommend(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    policy: Annotated[
        str, typer.Option("--policy", help="non-inferior, best-quality, knee, cheapest, lowest-memory.")
    ] = "non-inferior",
    min_quality: Annotated[float | None, typer.Option("--min-quality")] = None,
    max_memory: Annotated[str | None, typer.Option("--max-memory", help="8GB, 500MB.")] = None,
    max_gpu_seconds: Annotated[float | None, typer.Option("--max-gpu-seconds")] = None,
    confidence: ConfidenceOption = None,
    price: PriceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put another question to the evidence of a run; trains nothing."""
    from dataclasses import asdict

    from peftcost.api import Run
    from peftcost.core.memory import parse_bytes
    from peftcost.store.run_folder import open_run_folder

    found = Run(open_run_folder(run)).recommend(
        policy,
        confidence,
        min_quality=min_quality,
        max_memory_bytes=parse_bytes(max_memory) if max_memory else None,
        max_gpu_seconds=max_gpu_seconds,
    )
    facts = asdict(found)
    if price is not None:
        facts["usd"] = found.gpu_seconds / 3600 * price
    if as_json:
        print_json(facts)
        return
    print(f"{found.id}: {found.because}")
    if price is not None:
        print(f"A training costs {facts['usd']:.4f} at {price} per GPU-hour.")


@app.command()
def report(run: Annotated[Path, typer.Argument(help="The run's folder.")]) -> None:
    """Write report.html, report.md and front.png of a run."""
    from peftcost.api import Run
    from peftcost.store.run_folder import open_run_folder

    for path in Run(open_run_folder(run)).report().values():
        print(path)


@app.command()
def bench(
    suite: Annotated[Path, typer.Argument(help="suite.yaml: tasks, setups, seeds.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default bench/SUITE.")] = None,
    devices: DevicesOption = None,
    quiet: QuietOption = False,
) -> None:
    """Methods x tasks x seeds at given setups, one comparison report. Run it again to go on where it stopped."""
    from peftcost.bench import run_suite

    for path in run_suite(suite, out, devices, say(quiet)):
        print(path)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="recipe.yaml of a run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model's folder.")],
    data: Annotated[str | None, typer.Option("--data", help="New data in place of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Default: one that the search has not used.")] = None,
    devices: DevicesOption = None,
    early_stopping: Annotated[
        int | None,
        typer.Option("--early-stopping", help="Stop after so many dev evaluations without a rise."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Production: train a recipe's setup again, on new data, with a quality and cost gate (exit code 3)."""
    from peftcost.recipe.recipe import load_recipe
    from peftcost.recipe.train import train_recipe

    done = train_recipe(
        load_recipe(recipe),
        out,
        data=data,
        seed=seed,
        devices=devices,
        early_stopping=early_stopping,
        on_progress=say(quiet),
    )
    if as_json:
        print_json(done.report)
        return
    low, high = done.report["promised_interval"]
    print(f"{done.folder}: dev quality {done.report['quality']:.3f} (promised {low:.3f} to {high:.3f})")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A folder that `peftcost train` wrote.")],
    data: Annotated[Path, typer.Option("--data", help="The rows to label.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A CSV of labels and probabilities.")],
) -> None:
    """Label rows with a trained model."""
    from peftcost.recipe.predict import predict as run

    print(f"{out}: {run(model, data, out)} rows")


@app.command()
def methods(
    task: TaskOption = None,
    model: Annotated[str | None, typer.Option("--model", help="Hub id, folder, or builtin:minilm.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the methods: what each trains, and whether it can run here on the task's model."""
    from peftcost.cli.methods import methods_rows

    rows = methods_rows(task, model)
    if as_json:
        print_json(rows)
        return
    from rich.console import Console

    from peftcost.cli.tables import methods_table

    Console().print(methods_table(rows))


def load_rows(rows: dict[str, int]) -> Any:
    from peftcost.task.task import Rows

    return Rows(**rows)


def names_of(methods: str | None) -> list[str] | None:
    """The methods of a comma-separated list."""
    return [name.strip() for name in methods.split(",")] if methods else None


def say(quiet: bool) -> Any:
    """A function that prints progress on stderr, or nothing."""
    return (lambda text: None) if quiet else (lambda text: print(text, file=sys.stderr))


def main() -> None:
    """Run the command line; exit codes as docs/exit-codes.md says."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"] or ["--help"]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    logging.captureWarnings(not debug)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(args=arguments, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code)
    except KeyboardInterrupt:
        _fail(f"Interrupted. {NOT_LOST}", INTERRUPTED)
    except Terminated:
        _fail(f"Terminated. {NOT_LOST}", 143)
    except PeftcostError as error:
        _fail(str(error), error.exit_code, error if debug else None)
    except Exception as error:
        _report_unexpected(error, debug)


class Terminated(BaseException):
    """SIGTERM arrived: a pre-emption, or the end of an allocation."""


def _terminate(*_: object) -> None:
    raise Terminated


def _report_unexpected(error: Exception, debug: bool) -> None:
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's usage errors
        _fail(f"{error.format_message()} See --help.", 2)
    if isinstance(error, OSError) and error.errno is not None:
        wrapped = EnvironmentFailure(f"{error.strerror}: {error.filename or ''}".rstrip(": "))
        _fail(str(wrapped), wrapped.exit_code, error if debug else None)
    _fail(
        f"Our fault: {type(error).__name__}: {error}. Run again with --debug and report it.",
        1,
        error if debug else None,
    )


def _fail(text: str, code: int, error: BaseException | None = None) -> None:
    if error is not None:
        import traceback

        traceback.print_exception(error)
    print(f"peftcost: {text}", file=sys.stderr)
    sys.exit(code)
