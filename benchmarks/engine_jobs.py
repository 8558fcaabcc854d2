"""Sections of benchmarks/engine.py that run whole setups: the engine's workers against one Trainer script a setup."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import psutil
from engine import ROWS, prepared_here, spread, tweets, write_csv
from meter import fresh

from peftcost.core.setup import Setup
from peftcost.cost.device import choose_devices
from peftcost.data.fingerprint import model_fingerprint
from peftcost.engine.job import TrainJob, prepare_payload
from peftcost.engine.messages import Died, Done, Failed, Phase, failure_of
from peftcost.methods import get_method, methods
from peftcost.runner.executor import LocalExecutor
from peftcost.task.task import Rows, Task

EPOCHS = 1
FROZEN_ROWS = Rows(train=2000, dev=400, test=100)
RATES = (5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 4e-3, 6e-3)
USUAL = ("frozen", "lora", "full", "adalora", "int8-lora", "nf4-lora")


def of_length(method: str, choices: dict[str, Any], epochs: float = EPOCHS, rows: Rows = ROWS) -> Setup:
    return Setup.of(method, {**get_method(method).prior(), **choices}, round(epochs * (rows.train or 0)))


def typical_mix() -> list[Setup]:
    """What a search over all methods asks for: each method's prior-best, then proposals of the usual ones in turn."""
    setups = [of_length(name, {}) for name in methods()]
    studies = {name: optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)) for name in USUAL}
    while len(setups) < 20:
        name = USUAL[(len(setups) - len(methods())) % len(USUAL)]
        setups.append(of_length(name, studies[name].ask(get_method(name).space()).params))
    return setups


class Workers:
    """The engine's side: jobs one after another through the fork server, with the seconds of each phase."""

    def __init__(self, scratch: Path, task: Task, model: str) -> None:
        self.scratch, self.task, self.model = scratch, task, model
        self.prepared = prepared_here(task, model)
        self.executor = LocalExecutor(choose_devices(), scratch / "workers.log")

    def __enter__(self) -> Workers:
        self.executor.__enter__()
        started = time.monotonic()
        self._run("prepare", prepare_payload(self.task, 0, self.model, model_fingerprint(Path(self.model))))
        self.start_seconds = time.monotonic() - started  # the fork server imports everything once
        return self

    def __exit__(self, *reason: Any) -> None:
        self.executor.__exit__(*reason)

    def train(self, setup: Setup, name: str) -> dict[str, Any]:
        """The result, with `phases` (seconds by ledger category) and `first_step_seconds` from the start of the job."""
        out = self.scratch / name
        out.mkdir()
        return self._run("train", TrainJob(self.prepared, setup, 0, str(out)).as_dict())

    def _run(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        phases: dict[str, float] = defaultdict(float)
        current, since, first_step = "startup", started, None
        self.executor.start(0, kind, payload)
        while True:
            for _, message in self.executor.poll(1.0):
                if isinstance(message, Phase):
                    phases[current] += message.t - since
                    current, since = message.category, message.t
                    if current == "train" and first_step is None:
                        first_step = since - started
                elif isinstance(message, Failed | Died):
                    raise RuntimeError(failure_of(message))
                elif isinstance(message, Done):
                    now = time.monotonic()
                    phases[current] += now - since
                    return {
                        **message.result,
                        "phases": dict(phases),
                        "seconds": now - started,
                        "first_step_seconds": first_step,
                    }


class Scripts:
    """The rival's side: one process a setup."""

    def __init__(self, scratch: Path, task: Task, model: str) -> None:
        self.scratch, self.model, self.files = scratch, model, write_csv(task, scratch)

    def train(self, setup: Setup, name: str) -> dict[str, float]:
        """Seconds by stage, and of the whole process."""
        job = {
            **self.files,
            "model": self.model,
            "method": setup.method,
            "hyperparameters": dict(setup.hyperparameters),
            "examples": setup.stop_examples,
            "seed": 0,
        }
        asked, said = self.scratch / f"{name}.job.json", self.scratch / f"{name}.out.json"
        asked.write_text(json.dumps(job))
        script = Path(__file__).with_name("trainer_script.py")
        started = time.monotonic()
        subprocess.run([sys.executable, str(script), str(asked), str(said)], check=True, stdout=subprocess.DEVNULL)
        found = json.loads(said.read_text())
        return {**found, "seconds": time.monotonic() - started - found["measuring"]}


def compared(setups: Sequence[Setup], task: Task, every: int = 1) -> tuple[list[dict[str, Any]], float]:
    """Each setup by the engine, each (or every so many) by a script, in turns; and the seconds that the fork server took to
    start."""
    rows = []
    scratch, model = Path(tempfile.mkdtemp(prefix="peftcost-benchmark-")), tweets()[1]
    scripts = Scripts(scratch, task, model)
    with Workers(scratch, task, model) as workers:
        for i, setup in enumerate(setups):
            script = scripts.train(setup, f"script-{i}") if i % every == 0 else None
            engine = workers.train(setup, f"engine-{i}")
            rows.append(
                {
                    "method": setup.method,
                    "choices": {k: setup.hyperparameters[k] for k in get_method(setup.method).space()},
                    "script": script,
                    "engine": {
                        key: engine[key]
                        for key in ("seconds", "first_step_seconds", "gpu_seconds", "phases", "dev_loss", "peak_bytes")
                    },
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    shutil.rmtree(scratch)
    return rows, workers.start_seconds


def without_imports(script: dict[str, float]) -> float:
    return script["loading"] + script["training"] + script["evaluating"]


def times_more(rows: Sequence[dict[str, Any]], start_seconds: float) -> dict[str, float]:
    """Setups per second of device time, engine over scripts; the engine imports once, which counts with the imports. The
    scripts that were run stand for all."""
    scripts = [row["script"] for row in rows if row["script"]]
    engine = sum(row["engine"]["seconds"] for row in rows)

    def of_scripts(seconds: Callable[[dict[str, float]], float]) -> float:
        return len(rows) * statistics.mean(map(seconds, scripts))

    return {
        "with_imports": of_scripts(lambda script: script["seconds"]) / (engine + start_seconds),
        "without_imports": of_scripts(without_imports) / engine,
        "training_alone": of_scripts(lambda script: script["training"])
        / sum(row["engine"]["phases"]["train"] for row in rows),
    }


def mix() -> dict[str, Any]:
    """Twenty setups of a search over all methods."""
    rows, start_seconds = compared(typical_mix(), tweets()[0])
    first = [row["engine"]["first_step_seconds"] for row in rows]
    return {
        "epochs": EPOCHS,
        "times_more_setups": times_more(rows, start_seconds),
        "start_seconds": start_seconds,
        "peak_bytes_over_script": spread([row["engine"]["peak_bytes"] / row["script"]["peak_bytes"] for row in rows]),
        "first_step_seconds": spread(first),
        "setups": rows,
    }


def frozen() -> dict[str, Any]:
    """Eight learning rates of a head on a frozen base, three epochs of 2,000 rows each. The scripts all do the same work
    and differ in a number, so that three of them are run, and count for eight."""
    task, _ = tweets(FROZEN_ROWS)
    setups = [of_length("frozen", {"learning_rate": rate}, 3, FROZEN_ROWS) for rate in RATES]
    rows, start_seconds = compared(setups, task, every=3)
    return {
        "epochs": 3,
        "rows": FROZEN_ROWS.model_dump(),
        "times_more_setups": times_more(rows, start_seconds),
        "start_seconds": start_seconds,
        "setups": rows,
    }


def warm(setups: int = 100) -> dict[str, Any]:
    """A hundred short setups in a row: does anything grow, do they measure the same as in fresh processes, how soon do
    they start."""
    names = ("frozen", "lora", "full", "nf4-lora")
    scratch = Path(tempfile.mkdtemp(prefix="peftcost-benchmark-"))
    with Workers(scratch, *tweets()) as workers:
        server = fork_server()
        rows, sizes, handles = [], [], []
        for i in range(setups):
            name = names[i % len(names)]
            found = workers.train(Setup.of(name, get_method(name).prior(), 64), f"warm-{i}")
            rows.append({"method": name, **{k: found[k] for k in MEASURED}, "first_step": found["first_step_seconds"]})
            sizes.append(server.memory_full_info().uss)
            handles.append(server.num_fds())
            shutil.rmtree(scratch / f"warm-{i}")
        prepared, device = workers.prepared, workers.executor.devices[0]
    same = {}
    for name in names:
        out = scratch / f"fresh-{name}"
        out.mkdir()
        job = TrainJob(prepared, Setup.of(name, get_method(name).prior(), 64), 0, str(out)).as_dict()
        alone = fresh(job, device, out)
        mine = [row for row in rows if row["method"] == name]
        same[name] = {
            "same_loss_and_peak": all(
                (r["dev_loss"], r["peak_bytes"]) == (alone["dev_loss"], alone["peak_bytes"]) for r in mine
            ),
            "process_peak_first_and_last_ten": [
                statistics.median(r["process_peak_bytes"] for r in part) for part in (mine[:10], mine[-10:])
            ],
            "first_step_seconds": spread([r["first_step"] for r in mine]),
        }
    shutil.rmtree(scratch)
    tenth = max(1, setups // 10)
    return {
        "setups": setups,
        "server_bytes": [statistics.median(sizes[:tenth]), statistics.median(sizes[-tenth:])],
        "server_growth": statistics.median(sizes[-tenth:]) / statistics.median(sizes[:tenth]) - 1,
        "open_files": [handles[0], handles[-1]],
        "methods": same,
    }


MEASURED = ("dev_loss", "peak_bytes", "process_peak_bytes")


def fork_server() -> psutil.Process:
    """The process that all workers are forked from."""
    found = [p for p in psutil.Process().children() if "forkserver" in " ".join(p.cmdline())]
    return found[0]
