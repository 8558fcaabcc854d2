"""What benchmarks/record_table.py records: the tasks, and the lineages of each."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.core.setup import Setup
from peftcost.data.builtin import cache_folder
from peftcost.methods import get_method
from peftcost.methods.encoding import encode
from peftcost.task.task import DEFAULT_MODEL, Rows, Task, load_task


@dataclass(frozen=True)
class Plan:
    """What is recorded of a task. best: how many lineages get more seeds, first the best of each method and placement, then
    the best of all. left_out: kinds of `GRIDS`. metric: whose rows are kept. usual: methods of which the usual setup alone is
    recorded, in place of the grids. most: lineages, of each placement those nearest to the prior-best setup; None for all."""

    task: Callable[[], Task]
    rows: Rows
    stops: tuple[int, ...]
    best: int
    left_out: frozenset[str] = frozenset()
    metric: str = "accuracy"
    usual: tuple[str, ...] = ()
    most: int | None = None


RATES = {
    "full": (2e-5, 5e-5, 1e-4, 2e-4, 4e-4),
    "bitfit": (3e-4, 1e-3, 3e-3, 1e-2),
    "lora": (2e-4, 5e-4, 1e-3, 2e-3, 5e-3),
    "top": (3e-4, 1e-3, 3e-3),
    "quantized": (5e-4, 1e-3, 2e-3),
    "adalora": (5e-4, 2e-3, 6e-3),
    "houlsby": (3e-4, 1e-3, 3e-3),
    "ia3": (3e-3, 1e-2, 4e-2),
    "prefix": (3e-3, 1e-2, 4e-2),
    "prompt": (3e-3, 1e-2, 4e-2),
    "frozen": (5e-4, 1e-3, 2e-3, 5e-3),
}


GRIDS: dict[str, tuple[str, str, dict[str, tuple[Any, ...]]]] = {
    "frozen": ("frozen", "frozen", {"top_layers": (0, 1, 2)}),
    "full": ("full", "full", {}),
    "bitfit": ("bitfit", "bitfit", {}),
    "bitfit, top": ("bitfit", "top", {"top_layers": (2,)}),
    "lora": ("lora", "lora", {"rank": (4, 8, 32)}),
    "lora, top": ("lora", "top", {"rank": (8,), "top_layers": (2, 4)}),
    "rslora": ("lora", "top", {"rslora": (True,)}),
    "dora": ("lora", "top", {"dora": (True,)}),
    "adalora": ("adalora", "adalora", {"rank": (4, 8)}),
    "houlsby": ("houlsby", "houlsby", {"bottleneck": (8, 32)}),
    "ia3": ("ia3", "ia3", {}),
    "prefix": ("prefix", "prefix", {}),
    "prompt": ("prompt", "prompt", {}),
    "int8-lora": ("int8-lora", "quantized", {"rank": (8, 32)}),
    "nf4-lora": ("nf4-lora", "quantized", {"rank": (8, 32)}),
}
"""Kinds of lineages: method, rates, and the choices that are combined with each rate."""


def reviews() -> Task:
    """Movie reviews by their mean human rating, positive or negative: those that are rated clearly (0.8 of 4 or more)."""
    table = cache_folder() / "reviews.csv"
    if not table.exists():
        rows = [(text, "positive" if rating > 0 else "negative") for rating, text in rated_reviews() if abs(rating) >= 0.8]
        write_csv(table, ("text", "label"), rows)
    columns = {"text": "text", "label": "label"}
    return Task(model=DEFAULT_MODEL, task="text-classification", data=str(table), columns=columns)


def snippets(of: str) -> list[tuple[str, float, str]]:
    """Identifier, mean human rating from -4 to 4, text (Hutto & Gilbert 2014, in vaderSentiment's sdist). of: movieReview,
    nytEditorial, where the identifier is the text's number, a `_` and the sentence's."""
    with tempfile.TemporaryDirectory() as folder:
        download = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, "vaderSentiment==3.3.2"]
        subprocess.run([sys.executable, "-m", "pip", *download], check=True)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as outer:
            member = next(m for m in outer if m.name.endswith("hutto_ICWSM_2014.tar.gz"))
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                rated = next(m for m in inner if m.name.endswith(f"{of}Snippets_GroundTruth.txt"))
                file = inner.extractfile(rated)
                assert file is not None
                lines = [line.split("\t", 2) for line in file.read().decode("utf-8", errors="replace").splitlines()]
    return [(identifier, float(rating), text.strip()) for identifier, rating, text in lines]


def rated_reviews() -> list[tuple[float, str]]:
    """Snippets of movie reviews with their mean human rating."""
    return [(rating, text) for _, rating, text in snippets("movieReview")]


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(head)
        writer.writerows(rows)


PLANS = {
    "tweets": Plan(lambda: load_task("builtin:tweets"), Rows(train=1600, dev=1500, test=1000), (400, 800, 1600), best=24),
    "reviews": Plan(
        reviews,
        Rows(train=1600, dev=1000, test=1000),
        (400, 800, 1600),  # with half of that, seeds differed by 6 to 28 points
        best=12,
        left_out=frozenset({"rslora", "prefix", "prompt", "ia3", "bitfit, top"}),
    ),
    "wnut16": Plan(
        lambda: load_task(Path(__file__).parents[1] / "recipes/wnut16.task.yaml"),
        Rows(train=700, dev=800, test=800),
        (525, 1050, 2100, 4200),
        best=12,
        left_out=frozenset({"rslora", "dora", "prefix", "prompt", "ia3", "bitfit, top"}),
        metric="entity_f1",
    ),
    "opinions": Plan(  # what `peftcost demo` searches
        lambda: load_task("builtin:opinions"),
        Rows(train=800, dev=1500, test=1000),
        (600, 1200, 2400, 4800),
        best=12,
        left_out=frozenset({"lora", "rslora", "dora", "houlsby", "prefix", "prompt", "ia3", "bitfit", "bitfit, top"}),
        most=22,
    ),
}

LONGER = "-longer"
"""Ends the name of a table of the reference methods' usual setups at longer stops: six epochs in the end."""
PLANS |= {
    name + LONGER: replace(PLANS[name], stops=(1600, 3200, 6400, 9600), best=3, usual=("full", "lora", "frozen"))
    for name in ("tweets", "reviews")
}


def lineages(plan: Plan) -> list[Setup]:
    """What is trained, each at its longest stop, in a shuffled order, so that a part of the table is a fair sample."""
    if plan.usual:
        return [Setup.of(method, get_method(method).prior(), plan.stops[-1]) for method in plan.usual]
    found = []
    for kind, (method, rates, choices) in GRIDS.items():
        for values in () if kind in plan.left_out else product(RATES[rates], *choices.values()):
            chosen = dict(zip(("learning_rate", *choices), values, strict=True))
            found.append(Setup.of(method, {**get_method(method).prior(), **chosen}, plan.stops[-1]))
    random.Random(0).shuffle(found)
    if plan.most is None:
        return found
    nearest_first = sorted(found, key=far_from_usual)
    alike = {s.lineage: [o.lineage for o in nearest_first if placement(o) == placement(s)] for s in found}
    return sorted(found, key=lambda setup: alike[setup.lineage].index(setup.lineage))[: plan.most]


def placement(setup: Setup) -> tuple[str, Any]:
    """Its method, and in how many layers that works."""
    return setup.method, setup.hyperparameters.get("top_layers")


def far_from_usual(setup: Setup) -> float:
    """From the method's prior-best setup, over the coordinates that searches use."""
    space = get_method(setup.method).space()
    return float(np.linalg.norm(encode(setup.hyperparameters, space) - encode(get_method(setup.method).prior(), space)))
