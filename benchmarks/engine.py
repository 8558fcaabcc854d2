"""What the engine saves: its loop against a bare one and Trainer, shared activations, buckets, warm workers, kernels.

python benchmarks/engine.py [SECTION …]     all: about an hour on two cores; nothing may run beside it.
Sections: loop, overhead, upper, buckets, packing, kernels, compiling, pages, flops, warm, frozen, mix. Each writes its part
of results/engine.json when it is done, so a run can be taken up section by section; ratios compare what ran side by side in
one section.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import recorded, write_result

from peftcost.cost.device import choose_devices
from peftcost.data.fingerprint import model_fingerprint, resolve_model
from peftcost.engine.job import NullReporter, prepare_payload
from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, Task, load_task

ROWS = Rows(train=800, dev=400, test=100)


def tweets(rows: Rows = ROWS) -> tuple[Task, str]:
    """The built-in task and its model's folder."""
    task = load_task("builtin:tweets").model_copy(update={"rows": rows})
    return task, str(resolve_model(task.model))


def prepared_here(task: Task, model: str) -> str:
    from peftcost.engine.prepare import prepare

    return str(prepare(prepare_payload(task, 0, model, model_fingerprint(Path(model))), NullReporter())["prepared"])


def write_csv(task: Task, folder: Path) -> dict[str, str]:
    """The same rows for a script that reads CSV."""
    data, files = load_task_data(task, 0), {}
    for name, examples in (("train", data.train), ("dev", data.dev)):
        files[name] = str(folder / f"{name}.csv")
        with open(files[name], "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows([example["text"], data.targets.names.index(example["label"])] for example in examples)
    return files


def spread(values: list[float]) -> dict[str, Any]:
    """Median and range of repeats, and where 95 % of the medians of resamples lie."""
    resampled = np.median(np.random.default_rng(0).choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "median_95": [float(low), float(high)],
        "n": len(values),
    }


def main(names: list[str]) -> None:
    import engine_jobs
    import engine_packing
    import engine_pages
    import engine_steps

    from peftcost.engine.worker import configure_process

    sections: dict[str, Callable[[], dict[str, Any]]] = {
        "loop": engine_steps.loop,
        "overhead": engine_steps.overhead,
        "upper": engine_steps.upper,
        "buckets": engine_steps.buckets,
        "packing": engine_packing.packing,
        "kernels": engine_steps.kernels,
        "compiling": engine_steps.compiling,
        "pages": engine_pages.pages,
        "flops": engine_steps.flops,
        "warm": engine_jobs.warm,
        "frozen": engine_jobs.frozen,
        "mix": engine_jobs.mix,
    }
    os.environ["PEFTCOST_CACHE"] = tempfile.mkdtemp(prefix="peftcost-benchmark-")  # nothing was computed before
    for name in names or list(sections):
        run = sections[name]
        if run.__module__ in ("engine_steps", "engine_packing"):
            configure_process(choose_devices()[0])
        found = run()
        print(json.dumps({name: found}, indent=1), flush=True)
        sections_done = {**recorded("engine", "sections"), name: found}
        write_result("engine", {"rows": ROWS.model_dump(), "sections": sections_done})


if __name__ == "__main__":
    main(sys.argv[1:])
