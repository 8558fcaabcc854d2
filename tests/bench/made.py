"""A comparison that nobody trained, with names that are HTML."""

from __future__ import annotations

from typing import Any

import numpy as np

from peftcost.bench.cells import BenchTask, Cell, Comparison, Contender, Training

TASKS = ("tweets", "<img src=x onerror=alert(1)>", "reviews", "topics", "names")
QUALITIES = {"full": 0.80, "lora": 0.80, "frozen": 0.70, "bitfit": 0.78}
SECONDS = {"full": 100.0, "lora": 60.0, "frozen": 10.0, "bitfit": 70.0}
FACTS: dict[str, Any] = {
    "command": "peftcost bench suite<b>.yaml",
    "seeds": [0, 1],
    "device": {"kind": "cpu", "name": "a CPU", "threads": 2},
    "budget": None,
    "versions": {"torch": "2.13"},
}


def comparison(tasks: tuple[str, ...] = TASKS, error: float = 0.01, change: float = 0.0) -> Comparison:
    """Frozen is clearly worse, and change is added to what lora reaches; what differs by less than some 2 errors is noise."""
    random = np.random.default_rng(0)
    contenders = [Contender(name, f"{name} <script>alert(2)</script>", name) for name in QUALITIES]
    cells, trainings = {}, []
    for i, task in enumerate(tasks):
        shared = random.normal(0, error, 2000)
        for name, quality in QUALITIES.items():
            reached = quality + 0.001 * (i % 2) * (name == "lora") + change * (name == "lora")
            own = random.normal(0, error, 2000)
            seconds, peak = SECONDS[name] * (1 + i), 1e9 * SECONDS[name] / 100
            cells[task, name] = Cell(reached, reached + shared + own, seconds, peak, 0.01, 2, limits=(0, 1))
            for seed in (0, 1):
                trainings.append(
                    Training(task, name, name, name, f"{name}-1", seed, 1000, None, reached, seconds, int(peak), 0.01)
                )
    trainings.append(Training(tasks[0], "ia3", "ia3", "ia3", "ia3-1", 0, 1000, "out of memory <b>"))
    facts = [BenchTask(task, "text-classification", "builtin:minilm", "accuracy", 0.01, 100, "dev", 200) for task in tasks]
    return Comparison("4 setups", "", facts, [*contenders, Contender("ia3", "ia3", "ia3")], trainings, cells, FACTS)
