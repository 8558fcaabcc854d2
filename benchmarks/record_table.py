"""Trains real lineages once and keeps what they gave: the table on which searches are simulated.

python benchmarks/record_table.py TASK [HOURS]
    TASK: tweets, reviews, wnut16, opinions, tweets-longer, reviews-longer. Stops after HOURS (default: when all is recorded).

It can be stopped and started again at any time: what stands in results/table-TASK.parquet is not trained again. What was
trained beside other programs is right but for its seconds, and marked as contended: `retime_table.py` measures these again,
alone on the machine. First every lineage with seed 0, in a shuffled order, then with three more seeds those
that matter: the best of each method and placement, those that seem to be on the front (one seed alone flatters them), and the
best of all. A lineage is trained in a process of its own, stop by stop from its own checkpoint, as a search does. Every core
is a device and trains its own lineages. Between two trainings another program may borrow a core, with what is to be run on
it: flock /tmp/peftcost-core-1.lock taskset -c 1 COMMAND.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from machine import RESULTS
from table_plans import PLANS, Plan, lineages, placement

from peftcost.core.front import front
from peftcost.core.setup import Setup
from peftcost.core.statistics import nested_sample
from peftcost.cost.device import Device, choose_devices, cpu_name, usable_cores
from peftcost.data.fingerprint import model_fingerprint, resolve_model
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.worker import configure_process
from peftcost.methods import get_method
from peftcost.simulator.search import true_points
from peftcost.simulator.table import table_of

SEEN_ROWS = 400
"""Of dev and of test, that each stop predicts."""
MORE_SEEDS = (1, 2, 3)
"""Seeds of confirmations."""
LONGEST_SECONDS = 1800
LENDING_SECONDS = 0.3
"""Between two trainings, for whoever waits for the core."""


def record(
    prepared: str, setup: Setup, stops: tuple[int, ...], seed: int, device: dict[str, Any], core: int, out: str
) -> None:
    """Train one lineage with one seed; out gets its rows as JSON, with dev and test rows as .npy beside it."""
    from peftcost.engine.artifact import load_artifact
    from peftcost.engine.dataset import load_dataset_info, load_split
    from peftcost.engine.evaluate import evaluate
    from peftcost.engine.train import train
    from peftcost.engine.train_state import collator_for
    from peftcost.methods.layers import count_layers

    os.sched_setaffinity(0, {core})
    configure_process(Device(**device))
    method = get_method(setup.method)
    info, test = load_dataset_info(Path(prepared)), load_split(Path(prepared), "test")
    parent, found = None, []
    for stop in stops:
        at = setup.until(stop)
        folder = Path(out) / str(stop)
        folder.mkdir()
        measured = train(TrainJob(prepared, at, seed, str(folder), parent=parent, dev_rows=SEEN_ROWS), NullReporter())
        parent = None if method.fixed_horizon else str(folder / "checkpoint")
        model, torch_device = load_artifact(folder / "model", at, info, seed)
        collator = collator_for(info, method, at.hyperparameters)
        seen = evaluate(model, test, collator, torch_device, chosen=nested_sample(len(test), SEEN_ROWS))
        np.save(folder / "test_rows.npy", seen.rows)
        found.append({"stop_examples": stop, **measured, "layers": count_layers(model)})
    (Path(out) / "rows.json").write_text(json.dumps(found))


def as_table_rows(task: str, metric: str, setup: Setup, out: Path) -> list[dict[str, Any]]:
    """What `record` left, in the table's columns. Empty when it left nothing."""
    if not (out / "rows.json").exists():
        return []
    kept = ("stop_examples", "seed", "quality", "train_loss", "dev_loss", "gpu_seconds", "startup_seconds")
    also = ("evaluation_seconds", "peak_bytes", "process_peak_bytes", "contended", "total_parameters", "layers")
    rows = []
    for measured in json.loads((out / "rows.json").read_text()):
        folder = out / str(measured["stop_examples"])
        rows.append(
            {
                "task": task,
                "metric": metric,
                "method": setup.method,
                "lineage": setup.lineage,
                "hyperparameters": json.dumps(dict(setup.hyperparameters), sort_keys=True),
                **{name: measured[name] for name in (*kept, *also)},
                "row_width": np.load(folder / "dev_rows.npy").shape[1],
                **{name: np.load(folder / f"{name}.npy").astype(np.int8).tobytes() for name in ("dev_rows", "test_rows")},
                "machine": cpu_name(),
            }
        )
    return rows


def wanted(plan: Plan, rows: list[dict[str, Any]], taken: set[tuple[str, int]]) -> Iterator[tuple[Setup, int]]:
    """Lineages and seeds that are neither in the table nor taken, in order."""
    known = taken | {(row["lineage"], row["seed"]) for row in rows}
    every = lineages(plan)
    missing = [(setup, 0) for setup in every if (setup.lineage, 0) not in known]
    if missing:
        yield from missing
        return
    truth = true_points(table_of(rows))
    recorded = [setup for setup in every if setup.id in truth]  # one may still be trained on another core
    ranked = sorted(recorded, key=lambda setup: -truth[setup.id][0])
    firsts = {placement(setup): setup for setup in reversed(ranked)}
    best_trade_offs = set(front(truth))
    on_front = {s.lineage for s in recorded if any(s.until(stop).id in best_trade_offs for stop in plan.stops)}
    matter = {s.lineage for s in firsts.values()} | on_front
    best = sorted(ranked, key=lambda setup: setup.lineage not in matter)[: max(plan.best, len(matter))]
    for seed in MORE_SEEDS:
        yield from ((setup, seed) for setup in best if (setup.lineage, seed) not in known)


class Recorder:
    """The table as it grows, and the cores that work on it."""

    def __init__(self, task: str, prepared: str, devices: list[Device], path: Path, end: float) -> None:
        self.task, self.plan, self.prepared, self.devices = task, PLANS[task], prepared, devices
        self.path, self.end = path, end
        self.rows: list[dict[str, Any]] = pq.read_table(path).to_pylist() if path.exists() else []
        self.context = multiprocessing.get_context("forkserver")
        self.taken: set[tuple[str, int]] = set()
        self.lock = threading.Lock()

    def run(self) -> None:
        """Until all is recorded, or until the end."""
        threads = [
            threading.Thread(target=self.work, args=at, daemon=True) for at in zip(self.devices, usable_cores(), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def work(self, device: Device, core: int) -> None:
        """One core's share."""
        while time.monotonic() < self.end and (work := self.take()) is not None:
            with FileLock(Path(tempfile.gettempdir()) / f"peftcost-core-{core}.lock"):
                new = self.train(*work, device, core, self.plan.stops)
            with self.lock:
                self.rows += new
                self.save()
            time.sleep(LENDING_SECONDS)

    def take(self) -> tuple[Setup, int] | None:
        """The next lineage and seed that nobody works on."""
        with self.lock:
            work = next(wanted(self.plan, self.rows, self.taken), None)
            if work is not None:
                self.taken.add((work[0].lineage, work[1]))
            return work

    def train(self, setup: Setup, seed: int, device: Device, core: int, stops: tuple[int, ...]) -> list[dict[str, Any]]:
        """Its rows; none when it took too long or failed: the next start tries it again."""
        with tempfile.TemporaryDirectory(prefix="peftcost-table-") as out:
            started = time.monotonic()
            args = (self.prepared, setup, stops, seed, device.as_dict(), core, out)
            child = self.context.Process(target=record, args=args, daemon=True)
            child.start()
            child.join(LONGEST_SECONDS)
            if child.is_alive():
                child.kill()
            new = as_table_rows(self.task, self.plan.metric, setup, Path(out))
        told = f"{new[-1]['quality']:.3f} at {new[-1]['gpu_seconds']:.1f} gpu-s" if new else f"exit code {child.exitcode}"
        print(f"{setup.id} {setup.method} seed {seed}: {told} ({time.monotonic() - started:.0f} s)", flush=True)
        return new

    def save(self) -> None:
        aside = self.path.with_suffix(".new")
        columns = dict.fromkeys(name for row in self.rows for name in row)  # the first rows have not all of them
        rows = [{name: row.get(name) for name in columns} for row in self.rows]
        pq.write_table(pa.Table.from_pylist(rows), aside, compression="zstd")
        os.replace(aside, self.path)


def main(name: str, hours: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the children as well
    devices, end = choose_devices(f"cpu:{len(usable_cores())}"), time.monotonic() + 3600 * hours
    Recorder(name, prepared_task(PLANS[name]), devices, RESULTS / f"table-{name}.parquet", end).run()


def prepared_task(plan: Plan) -> str:
    """The folder of the tokenized data."""
    task = plan.task().model_copy(update={"rows": plan.rows})
    model = str(resolve_model(task.only_model))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["peftcost.engine.preload"])
    with context.Pool(1) as pool:  # tokenizing in this process would start threads that a fork does not survive
        return str(pool.apply(prepared_folder, (prepare_payload(task, 0, model, model_fingerprint(Path(model))),)))


def prepared_folder(payload: dict[str, Any]) -> str:
    from peftcost.engine.prepare import prepare

    return str(prepare(payload, NullReporter())["prepared"])


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else float("inf"))
