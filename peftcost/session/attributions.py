"""Which tokens of the hardest examples speak for what the recommended setup says."""

from __future__ import annotations

from peftcost.core.setup import Setup
from peftcost.cost.device import choose_devices
from peftcost.errors import UserError
from peftcost.report.examples import ATTRIBUTIONS, data_of, hardest_of
from peftcost.report.run_files import trial_folders
from peftcost.report.sentences import recommended_entry
from peftcost.runner.books import Books
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.prepare import on_base, prepare_data
from peftcost.runner.runner import Runner
from peftcost.runner.worker_log import worker_log
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder
from peftcost.task.task import load_task

TASK = "text-classification"


def attribute_hardest(folder: RunFolder, devices: str | None = None) -> None:
    """Write them beside the dev rows of the recommended setup, where the report finds them. UserError where there are no such
    examples, or no model."""
    result = folder.read_result()
    entry, kind = recommended_entry(result), result["task"]["task"]
    if kind != TASK:
        raise UserError(f"--attributions is for {TASK}; this run is {kind}.")
    if entry is None:
        raise UserError(f"{folder.path} recommends no setup whose tokens could be attributed.")
    data, trial = data_of(folder.path, result), trial_folders(folder.path, entry)[0]
    if data is None:
        raise UserError(f"The data of {folder.path} have changed or cannot be read any more, so its examples cannot be told.")
    if not (trial / "model").is_dir():
        raise UserError(f"{trial} has no model any more; search again, or ask the run that has it.")
    task = load_task(folder.task_file)
    order = on_base(task.on(str(entry["hyperparameters"].get("model", task.models[0]))), data, result["task"]["seed"])
    examples = hardest_of(trial, data)
    setup = Setup(entry["method"], entry["hyperparameters"], entry["stop_examples"])
    payload = {"setup": setup.as_dict(), "seed": order.seed, "out": str(trial), "examples": examples}
    with worker_log() as log, LocalExecutor(choose_devices(devices)[:1], log) as executor:
        runner = Runner(executor, Journal(), Books())
        prepared = prepare_data(runner, order)
        runner.acquire()
        runner.run_one("attribute", {**payload, "prepared": prepared, "file": str(trial / ATTRIBUTIONS)})
        runner.release()
