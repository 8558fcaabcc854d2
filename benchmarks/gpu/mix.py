"""Setups measured per GPU-second: the engine's workers, alone and packed, against one transformers.Trainer script a setup.

python -m benchmarks.gpu.mix MODEL:SETUPS …     Prints one JSON object. So many setups of the usual methods on 2,000 rows, one
epoch each, on minilm or llama-135m. The device is held from the first job to the last word; imports are on nobody's bill.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
import torch
import transformers

from benchmarks import trainer_script
from benchmarks.gpu.models import folder_of
from peftcost.core.setup import Setup
from peftcost.cost.device import choose_devices
from peftcost.data.builtin import builtin_model
from peftcost.data.fingerprint import model_fingerprint
from peftcost.engine.job import TrainJob, prepare_payload
from peftcost.engine.messages import Died, Done, Failed, Phase, Unmeasured, failure_of
from peftcost.engine.precision import on_gpu
from peftcost.engine.sharing import can_share
from peftcost.methods import get_method
from peftcost.runner.executor import ASIDE, LocalExecutor
from peftcost.runner.slot import Slot
from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, Task, load_task

METHODS = ("lora", "full", "frozen", "lora", "nf4-lora", "lora", "adalora", "lora", "full", "int8-lora")
ROWS = Rows(train=2000, dev=500, test=100)
MOST_MEMBERS = 8


def setups(n: int) -> list[Setup]:
    """What a search asks for: proposals of each method, LoRA the most."""
    studies = {name: optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)) for name in set(METHODS)}
    found = []
    for i in range(n):
        method = get_method(METHODS[i % len(METHODS)])
        choices = studies[method.name].ask(method.space()).params
        found.append(Setup.of(method.name, {**method.prior(), **choices, **on_gpu(method, True), "batch_size": 16}, 2000))
    return found


def model_folder(model: str) -> str:
    """With MiniLM's tokenizer, which is enough for shapes."""
    folder = folder_of(model)
    if model != "minilm" and not (folder / "tokenizer.json").exists():
        transformers.AutoTokenizer.from_pretrained(builtin_model("minilm")).save_pretrained(folder)
    return str(folder)


class Workers:
    """The engine's side, as a search uses it."""

    def __init__(self, executor: LocalExecutor) -> None:
        self.executor = executor

    def wait_for(self, slot: Slot) -> None:
        """Until the slot is free."""
        while slot not in self.executor.free():
            list(self.executor.poll(1.0))

    def run(self, kind: str, payload: dict[str, Any], slot: Slot) -> dict[str, Any]:
        """The result of a job that works, with seconds by phase."""
        if slot != ASIDE:
            self.wait_for(slot)
        phases: dict[str, float] = defaultdict(float)
        current, since = "startup", time.monotonic()
        self.executor.start(slot, kind, payload)
        while True:
            for _, message in self.executor.poll(1.0):
                if isinstance(message, Phase | Done):
                    now = time.monotonic()
                    phases[current] += now - since
                    current, since = message.category if isinstance(message, Phase) else "idle", now
                if isinstance(message, Failed | Died | Unmeasured):
                    raise RuntimeError(f"{kind}: {failure_of(message)}")
                if isinstance(message, Done):
                    return {**message.result, "phases": dict(phases)}


def engine_seconds(task: Task, model: str, wanted: list[Setup], packs: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch, LocalExecutor(choose_devices("cuda"), Path(scratch) / "log") as executor:
        workers, device = Workers(executor), executor.slots[0]
        payload = prepare_payload(task, 0, model, model_fingerprint(Path(model)))
        prepared = workers.run("prepare", payload, ASIDE)["prepared"]
        groups = grouped(wanted) if packs else [[setup] for setup in wanted]
        jobs_of = [[job_of(prepared, setup, Path(scratch)) for setup in group] for group in groups]
        for job in (job for jobs in jobs_of if len(jobs) > 1 for job in jobs):  # a search knows it, from its probes
            job["predicted_peak_bytes"] = workers.run("peak_bytes", job, ASIDE)["peak_bytes"]
        workers.wait_for(device)
        began, results, phases = time.monotonic(), [], defaultdict(float)
        for jobs in jobs_of:
            kind, payload = ("train", jobs[0]) if len(jobs) == 1 else ("train_pack", {"jobs": jobs})
            found = workers.run(kind, payload, device)
            results += [found] if len(jobs) == 1 else [one["result"] for one in found["members"]]
            for name, seconds in found["phases"].items():
                phases[name] += seconds
        seconds = time.monotonic() - began
    return {"seconds": seconds, "setups": len(results), "phases": {k: round(v, 2) for k, v in phases.items()}}


def job_of(prepared: str, setup: Setup, scratch: Path) -> dict[str, Any]:
    """The job of a setup, with a folder of its own."""
    return TrainJob(prepared, setup, 0, tempfile.mkdtemp(dir=scratch)).as_dict()


def grouped(waiting: list[Setup]) -> list[list[Setup]]:
    """Packs of what can share a pass of the base, as large as they may be."""
    packs: list[list[Setup]] = []
    for setup in waiting:
        open_packs = [pack for pack in packs if len(pack) < MOST_MEMBERS and can_share([*pack, setup]) is None]
        if open_packs:
            open_packs[0].append(setup)
        else:
            packs.append([setup])
    return packs


def trainer_seconds(task: Task, model: str, wanted: list[Setup]) -> dict[str, Any]:
    """What one script a setup does, here one after the other: loading, training and evaluating, without imports."""
    data, totals = load_task_data(task, 0), defaultdict(float)
    with tempfile.TemporaryDirectory() as scratch:
        files = {}
        for name, examples in (("train", data.train), ("dev", data.dev)):
            files[name] = str(Path(scratch) / f"{name}.jsonl")
            rows = [json.dumps({"text": e["text"], "label": data.targets.names.index(e["label"])}) for e in examples]
            Path(files[name]).write_text("\n".join(rows), encoding="utf-8")
        for setup in wanted:
            job = {"model": model, **files, "method": setup.method, "hyperparameters": dict(setup.hyperparameters)}
            stages = trainer_script.main({**job, "examples": setup.stop_examples, "seed": 0, "format": "json"})
            for name, value in stages.items():
                totals[name] += value
            gc.collect()
            torch.cuda.empty_cache()
    return {"seconds": sum(totals[name] for name in ("loading", "training", "evaluating")), "stages": dict(totals)}


def main(wanted_of: list[str]) -> None:
    found: dict[str, Any] = {}
    for one in wanted_of or ["minilm:20"]:
        model, _, n = one.partition(":")
        task = load_task("builtin:tweets").model_copy(update={"model": model_folder(model), "rows": ROWS})
        wanted = setups(int(n))
        alone, packed = (engine_seconds(task, str(task.model), wanted, packs) for packs in (False, True))
        print(model, "alone", alone, "packed", packed, file=sys.stderr, flush=True)
        trainer = trainer_seconds(task, str(task.model), wanted)
        ours = {"alone": alone["seconds"], "packed": packed["seconds"]}
        times = {name: round(trainer["seconds"] / seconds, 2) for name, seconds in ours.items()}
        found[model] = {"engine alone": alone, "engine packed": packed, "trainer": trainer, "times as fast": times}
        print(model, times, file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main(sys.argv[1:])
