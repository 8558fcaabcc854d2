"""A task on one base: finds the base's files, and tokenizes the data aside, on no device's bill."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from peftcost.data.builtin import cache_folder
from peftcost.data.fingerprint import model_fingerprint, resolve_model
from peftcost.engine.job import prepare_payload
from peftcost.errors import EnvironmentFailure
from peftcost.runner.runner import Runner, result_of
from peftcost.task.splits import TaskData
from peftcost.task.task import Task


@dataclass(frozen=True)
class OnBase:
    """The task on one base. model: its folder. seed: by which the data were split."""

    task: Task
    data: TaskData
    model: str
    fingerprints: dict[str, str]
    seed: int


def on_base(task: Task, data: TaskData, seed: int) -> OnBase:
    """The task, which names one base, with the base's files found. seed: that the data were loaded with. UserError if the
    files are not there."""
    model = resolve_model(task.only_model)
    return OnBase(task, data, str(model), {**data.fingerprints, "model": model_fingerprint(model)}, seed)


def prepare_data(runner: Runner, asked: OnBase) -> str:
    """The folder of the tokenized data; written if it is not there yet."""
    check_cache()
    payload = prepare_payload(asked.task, asked.seed, asked.model, asked.fingerprints["model"])
    prepared = result_of("prepare", runner.run_aside("prepare", payload), runner.executor.log)
    for text in [*asked.data.warnings, *prepared["warnings"]]:
        runner.record("warned", text=text)
    return str(prepared["prepared"])


def check_cache() -> None:
    """EnvironmentFailure where the cache's folder cannot be made or written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EnvironmentFailure(
            f"The cache folder {folder} cannot be written ({error.strerror}); set PEFTCOST_CACHE to another."
        ) from error
