"""Measures again, alone on the machine, the seconds of what record_table.py trained beside other programs.

python benchmarks/retime_table.py TASK

Each such lineage is trained once more, to its first stop, and the seconds of its longer stops and of its other seeds are
taken from that, example by example. Where frozen layers are computed once, the first epoch is dearer than the others: such
a lineage goes to its last stop. What is disturbed again stays as it was, for the next start.
"""

from __future__ import annotations

import sys
from typing import Any

from machine import RESULTS
from record_table import Recorder, prepared_task
from table_plans import PLANS, lineages

from peftcost.core.setup import Setup
from peftcost.cost.device import choose_devices, usable_cores

TIMES = ("gpu_seconds", "startup_seconds", "evaluation_seconds")
Row = dict[str, Any]


def computes_layers_once(setup: Setup) -> bool:
    """Whether layers below what it trains are frozen."""
    return setup.method == "frozen" or setup.hyperparameters.get("top_layers") is not None


def with_times_of(row: Row, measured: list[Row]) -> Row:
    """The row with the seconds that were measured alone, at its own stop or by the example."""
    nearest = max((m for m in measured if m["stop_examples"] <= row["stop_examples"]), key=lambda m: m["stop_examples"])
    longer = row["stop_examples"] / nearest["stop_examples"]
    times = {name: nearest[name] for name in TIMES}
    return {**row, **times, "gpu_seconds": longer * nearest["gpu_seconds"], "contended": False}


def main(name: str) -> None:
    plan, devices = PLANS[name], choose_devices("cpu:1")
    recorder = Recorder(name, prepared_task(plan), devices, RESULTS / f"table-{name}.parquet", float("inf"))
    waiting = {row["lineage"] for row in recorder.rows if row["contended"]}
    for setup in lineages(plan):
        if setup.lineage not in waiting:
            continue
        stops = plan.stops if computes_layers_once(setup) else plan.stops[:1]
        measured = recorder.train(setup, 0, devices[0], usable_cores()[0], stops)
        if measured and not any(row["contended"] for row in measured):
            for at, row in enumerate(recorder.rows):
                if row["lineage"] == setup.lineage and row["contended"]:
                    recorder.rows[at] = with_times_of(row, measured)
            recorder.save()


if __name__ == "__main__":
    main(sys.argv[1])
