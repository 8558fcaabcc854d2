"""Does a measurement depend on what ran before? Each setup in a fresh process, and as the fifth job of a warm worker.

python benchmarks/meter.py [REPEATS]     about 5 minutes on two cores; nothing may run beside it.
Writes benchmarks/results/meter.json: per method peak_bytes and gpu_seconds of either way, their ratio and spread.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from machine import write_result

from peftcost.core.setup import Setup
from peftcost.cost.device import Device, choose_devices
from peftcost.data.fingerprint import model_fingerprint, resolve_model
from peftcost.engine.job import TrainJob, prepare_payload
from peftcost.engine.messages import Died, Done, Failed, failure_of, message_of
from peftcost.methods import get_method
from peftcost.runner.executor import LocalExecutor
from peftcost.task.task import Rows, load_task

METHODS = ("full", "lora", "frozen", "int8-lora", "nf4-lora")
STOP_EXAMPLES = 480
BEFORE = 4
"""Jobs that the warm worker's fork server has served before the one that counts."""
FRESH = """
import json, sys
from peftcost.engine.worker import run_jobs
class Pipe:
    def recv_bytes(self): return json.dumps({"kind": "train", "payload": json.loads(sys.argv[1]), "log": sys.argv[3]})
    def send_bytes(self, raw):
        message = json.loads(raw)
        if message["type"] in ("done", "failed"):
            open(sys.argv[4], "w").write(json.dumps(message))
    def close(self): pass
run_jobs(Pipe(), [json.loads(sys.argv[2])], sys.argv[3], False)
"""


def result(executor: LocalExecutor, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    executor.start(0, kind, payload)
    while True:
        for _, message in executor.poll(1.0):
            if isinstance(message, Failed | Died):
                raise RuntimeError(failure_of(message))
            if isinstance(message, Done):
                return message.result


def fresh(payload: dict[str, Any], device: Device, folder: Path) -> dict[str, Any]:
    """The job in a process of its own that imports everything itself."""
    said = folder / "fresh.json"
    arguments = [json.dumps(payload), json.dumps(asdict(device)), str(folder / "fresh.log"), str(said)]
    subprocess.run([sys.executable, "-c", FRESH, *arguments], check=True)
    message = message_of(json.loads(said.read_text()))
    if not isinstance(message, Done):
        raise RuntimeError(str(message))
    return message.result


def main(repeats: int) -> None:
    device = choose_devices()[0]
    task = load_task("builtin:tweets").model_copy(update={"rows": Rows(train=1000, dev=100, test=100)})
    model = resolve_model(task.model)
    rows: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as scratch, LocalExecutor([device], Path(scratch) / "workers.log") as executor:
        prepare = prepare_payload(task, 0, str(model), model_fingerprint(Path(model)))
        prepared = str(result(executor, "prepare", prepare)["prepared"])

        def job(method: str, name: str) -> dict[str, Any]:
            out = Path(scratch) / name
            out.mkdir()
            setup = Setup.of(method, get_method(method).prior(), STOP_EXAMPLES)
            return TrainJob(prepared, setup, 0, str(out)).as_dict()

        for i in range(BEFORE):
            result(executor, "train", job(METHODS[i], f"before-{i}"))
        for i in range(repeats):
            for method in METHODS:
                alone = fresh(job(method, f"fresh-{method}-{i}"), device, Path(scratch))
                warm = result(executor, "train", job(method, f"warm-{method}-{i}"))
                rows.setdefault(method, []).append((alone, warm))
                print(method, alone["gpu_seconds"], warm["gpu_seconds"], flush=True)
    write_result("meter", {"repeats": repeats, "methods": {name: summary(pairs) for name, pairs in rows.items()}})


def summary(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Means, the ratio warm / fresh, and the coefficient of variation among the fresh processes."""
    found: dict[str, Any] = {}
    for figure in ("peak_bytes", "gpu_seconds"):
        quiet = [pair for pair in pairs if figure == "peak_bytes" or not any(one["contended"] for one in pair)]
        if not quiet:
            found[figure] = None  # every time was taken beside another program
            continue
        alone, warm = ([pair[i][figure] for pair in quiet] for i in (0, 1))
        mean = statistics.fmean(alone)
        found[figure] = {
            "fresh": alone,
            "warm": warm,
            "warm_over_fresh": statistics.fmean(warm) / mean,
            "fresh_spread": statistics.stdev(alone) / mean if len(alone) > 1 else None,
        }
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
