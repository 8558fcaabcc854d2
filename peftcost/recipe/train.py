"""Production: trains a recipe's setup from scratch, and fails loudly when it keeps less than the recipe promises."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peftcost.core.setup import Setup
from peftcost.core.versions import versions
from peftcost.cost.device import choose_devices
from peftcost.data.fingerprint import hub_snapshot
from peftcost.data.hub_files import located
from peftcost.engine.job import TrainJob
from peftcost.errors import GateError, OtherData, PeftcostError, UserError
from peftcost.recipe.card import model_card
from peftcost.recipe.earlier import quality_of_earlier
from peftcost.recipe.gate import (
    DEV_QUALITY,
    Held,
    asked_bars,
    broken_promises,
    check_min_quality,
    held_to,
    other_classes,
    promised_bars,
    refuse,
    too_low,
)
from peftcost.recipe.model import CURVE, TrainedModel
from peftcost.recipe.recipe import Recipe
from peftcost.recipe.trained_on import remember, trained_on
from peftcost.runner.books import Books
from peftcost.runner.curve import CurveFile
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.prepare import OnBase, on_base, prepare_data
from peftcost.runner.runner import Runner, result_of
from peftcost.runner.warned import Warned
from peftcost.runner.worker_log import worker_log
from peftcost.store.journal import Journal
from peftcost.store.outputs import check_can_be_made, deliver
from peftcost.task.splits import load_task_data
from peftcost.task.task import Shares

TIES_SHARE = 0.01
"""Of dev rows, how many rounding may turn."""


def train_recipe(
    recipe: Recipe,
    out: Path,
    *,
    data: str | None = None,
    seed: int | None = None,
    devices: str | None = None,
    devices_per_setup: int = 1,
    early_stopping: int | None = None,
    min_quality: float | None = None,
    gate_rows: int | None = None,
    gate_against: Path | None = None,
    allow_other_classes: bool = False,
    gate: bool = True,
    on_progress: Callable[[str], None] = lambda text: None,
) -> TrainedModel:
    """Train the recipe's setup and write the model's folder, which plain peft and transformers load (but for houlsby).

    data: a file in place of the recipe's. All of its rows are trained on, for as many epochs as the recipe's, but a dev split
    that decides on the gate. seed: a fresh one by default. min_quality: the least dev quality, whatever the recipe promises.
    gate_rows: of new data, in that dev split; as few as resolve the margin, at most a fifth, by default. gate_against: the
    folder of a model that was trained before; on the same dev rows the new one may be worse by no more than the margin.
    allow_other_classes: whether new data may have others than the recipe. gate: whether it is held to what the recipe
    promises, and new data to its classes; not to hold it leaves what is asked for by min_quality and gate_against.

    UserError if `out` exists or cannot be made. GateError, with nothing trained, if new data has other columns or classes, or
    too few dev rows for a gate that can fail; with the model kept, if dev quality falls below the prediction interval or what
    is asked for, or the cost, on as many of the same devices, rises above COST_TOLERANCE times the recipe's. PeftcostError,
    with nothing written, if the model predicts otherwise once it is reloaded.
    """
    if out.exists():
        raise UserError(f"{out} exists already; choose another --out.")
    check_can_be_made(out)
    if early_stopping is not None and early_stopping < 1:
        raise UserError(f"--early-stopping {early_stopping} must be 1 or more; a few evaluations are usual, as 3.")
    order, seed = order_of(recipe, data, gate_rows), max(recipe.seeds) + 1 if seed is None else seed
    check_min_quality(min_quality, order.data.metric)
    new_data = data is not None
    if new_data and gate and not allow_other_classes:
        refuse(other_classes(recipe, order.data.targets))
    earlier = None
    if gate_against is not None:
        on_progress(f"evaluating {gate_against} on {len(order.data.dev)} dev rows")
        earlier = (gate_against, quality_of_earlier(gate_against, order.data, devices))
        for told in trained_on(gate_against, order.data.task_type, order.data.dev, f"the {len(order.data.dev)} dev rows"):
            on_progress(f"{gate_against}: {told}")
    held = held_to(recipe, order.data, new_data, gate, asked_bars(min_quality, earlier, order.data.margin))
    if held.gate is not None:
        on_progress(held.gate.told(recipe.expected.quality))
    setup = recipe.setup.to_setup() if data is None else recipe.setup_for(len(order.data.train))
    chosen = choose_devices(devices)[:devices_per_setup]
    with tempfile.TemporaryDirectory(prefix="peftcost-train-") as scratch:
        work = Path(scratch)
        with worker_log() as log, LocalExecutor(chosen, log, devices_per_setup) as executor:
            curve = CurveFile(work / CURVE)
            runner = Runner(executor, Journal(), Books(), [curve, Warned(on_progress)])
            on_progress("preparing data")
            prepared = prepare_data(runner, order)
            runner.acquire()
            on_progress(f"training {setup.id} on {len(order.data.train)} rows")
            job = TrainJob(prepared, setup, seed, str(work), early_stopping_patience=early_stopping, ranks=len(chosen))
            measured = runner.run_one("train", job.as_dict())
            curve.end(measured)
            on_progress("reloading what was written")
            written = {"prepared": prepared, "setup": setup.as_dict(), "seed": seed, "out": str(work)}
            check_reloaded(**runner.run_one("reload", written))
            runner.release()
            card = {"prepared": prepared, "setup": setup.as_dict(), "columns": order.data.columns, "base": named_base(order)}
            message = runner.run_aside("card", {**card, "folder": str(work / "model")})
            result_of("card", message, executor.log)
        report = report_of(recipe, setup, measured, order, seed, chosen[0].name, new_data, held)
        if curve.file.exists():  # else it was over before anything was told
            shutil.copyfile(curve.file, work / "model" / CURVE)
        (work / "model" / "training.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        remember(work / "model", order.data.task_type, order.data.train)
        (work / "model" / "README.md").write_text(model_card(recipe, report, measured, chosen[0].name), encoding="utf-8")
        deliver(work / "model", out)
    broken = report["broken_promises"] if gate else too_low(DEV_QUALITY, report["quality"], held.asked)
    if broken:
        raise GateError(f"{' '.join(broken)} The model is in {out}.")
    return TrainedModel(out)


def check_reloaded(rows: int, differing: int) -> None:
    """PeftcostError when the written model, over a base of another seed, does not predict dev as it did when it was measured:
    then not all that was trained was saved."""
    if differing > TIES_SHARE * rows:
        raise PeftcostError(
            f"The model predicts {differing} of {rows} dev rows otherwise once it is reloaded, so it was not saved whole, "
            "and nothing was written; please report this base and method, and try another method."
        )


def order_of(recipe: Recipe, data: str | None, gate_rows: int | None) -> OnBase:
    """Read data, split as the search has split them, and model. Given the recipe's own data, it has to be what the recipe was
    made from; of new data all rows are used, and no test split is taken. GateError if it lacks columns, or its dev split has
    classes that train has not."""
    if data is None and gate_rows is not None:
        raise UserError("--gate-rows is for new data; the recipe's own data has its dev split already.")
    held_out = Shares(dev=gate_rows, test=0)
    changes = {} if data is None else {"data": located(data), "rows": None, "splits": held_out}
    task = recipe.task.model_copy(update=changes)
    try:
        loaded = load_task_data(task, recipe.task_seed)
    except OtherData as error:
        if data is not None:
            refuse([error.args[0]])
        raise
    order = on_base(task, loaded, recipe.task_seed)
    fingerprints = order.fingerprints
    for name in recipe.fingerprints:
        now = fingerprints.get(name, "none")
        if now != recipe.fingerprints[name] and not (name == "data" and data is not None):
            raise UserError(
                f"The {name} is not what the recipe was made from (fingerprint {now[:12]}, the recipe "
                f"has {recipe.fingerprints[name][:12]}); "
                + ("give the new data with --data." if name == "data" else f"search again with this {name}.")
            )
    return order


def named_base(order: OnBase) -> dict[str, str | None]:
    """The base as another machine can find it: by its hub id and commit, else as the task calls it; and its fingerprint."""
    name, revision = hub_snapshot(Path(order.model)) or (order.task.only_model, None)
    return {"name": name, "revision": revision, "fingerprint": order.fingerprints["model"]}


def report_of(
    recipe: Recipe,
    setup: Setup,
    measured: dict[str, Any],
    order: OnBase,
    seed: int,
    device: str,
    new_data: bool,
    held: Held,
) -> dict[str, Any]:
    """training.json: what was promised, what was measured, what was broken."""
    bars, seen = promised_bars(held.interval) + held.asked, held.gate
    return {
        "metric": order.data.metric.name,
        "quality": measured["quality"],
        "promised_interval": held.interval,
        "gate": seen and {"least": seen.bar.least, "drop_seen": seen.drop_from(recipe.expected.quality)},
        "expected": recipe.expected.model_dump(mode="json"),
        "new_data": new_data,
        "stop_examples": setup.stop_examples,
        "gpu_seconds": measured["gpu_seconds"],
        "ranks": measured["ranks"],
        "peak_bytes": measured["peak_bytes"],
        "seed": seed,
        "rows": {"train": len(order.data.train), "dev": len(order.data.dev)},
        "fingerprints": order.fingerprints,
        "broken_promises": broken_promises(recipe, measured, device, bars, new_data),
        "recipe_run": recipe.run,
        "versions": versions(),
    }
