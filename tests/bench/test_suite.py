"""A suite: what it asks for, how it goes on, and what it compares."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftcost.bench import run_suite as suites
from peftcost.bench.compare import facts_of
from peftcost.bench.measure import wanted_of
from peftcost.bench.run_suite import run_suite
from peftcost.bench.suite import contenders_of, load_suite, tasks_of
from peftcost.core.setup import Setup
from peftcost.errors import UserError

SETUPS = [{"method": "frozen", "stop_examples": 32}, {"method": "lora", "stop_examples": 32}]


def write(folder: Path, **fields: Any) -> Path:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump({"tasks": ["builtin:tweets"], **fields}))
    return path


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "give either setups, or a search"),
        ({"setups": SETUPS, "search": {"budget": "1gpu-h"}}, "give either setups, or a search"),
        ({"setups": SETUPS, "seeds": [0, 0]}, "seeds has one of its values twice"),
        ({"setups": [{"method": "lora", "stop_examples": 8, "hyperparameters": {"rnk": 2}}]}, "no choice 'rnk'"),
        ({"setups": SETUPS, "budget": "10"}, "no unit"),
        ({"search": {"budget": "soon"}}, "not understood"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_suite(write(tmp_path, **fields))


def test_each_task_stands_there_on_each_model(tmp_path: Path) -> None:
    path = write(tmp_path, setups=SETUPS, models=["builtin:minilm", "builtin:smollm2"], rows={"train": 50})
    tasks = tasks_of(load_suite(path), path)
    assert {name: task.model for name, task in tasks.items()} == {
        "tweets on minilm": "builtin:minilm",
        "tweets on smollm2": "builtin:smollm2",
    }
    assert all(task.rows is not None and task.rows.train == 50 for task in tasks.values())


def test_a_task_is_called_alike_wherever_its_suite_is_run_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "reviews").mkdir()
    (folder / "task.yaml").write_text(yaml.safe_dump({"model": "builtin:minilm", "data": "builtin:tweets"}))
    path = write(folder, setups=SETUPS, tasks=["task.yaml"])
    for place in (tmp_path, folder):
        monkeypatch.chdir(place)
        assert list(tasks_of(load_suite(path), path)) == ["reviews"], "measurements are found again by the task's name"


def test_setups_are_called_by_their_choices_and_never_two_alike() -> None:
    setups = [
        Setup.of("lora", {"rank": 4}, 100),
        Setup.of("lora", {"rank": 4, "dropout": 0.3}, 100),
        Setup.of("full", {}, 100),
    ]
    names = [contender.name for contender in contenders_of(setups).values()]
    assert names[2] == "full lr 1e-4" and len(set(names)) == 3 and all("r=4" in name for name in names[:2])


def test_every_setup_comes_once_before_any_comes_twice() -> None:
    setups = [Setup.of("lora", {}, 100), Setup.of("full", {}, 100)]
    wanted = wanted_of(["a", "b"], setups, [0, 1])
    assert [one.seed for one in wanted] == [0] * 4 + [1] * 4


@pytest.fixture(scope="module")
def suite(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    rows = {"train": 60, "dev": 40, "test": 20}
    return write(folder, setups=SETUPS, models=[str(tiny_bert)], rows=rows, seeds=[0, 1])


@pytest.fixture(scope="module")
def said(suite: Path) -> list[str]:
    lines: list[str] = []
    suites.run_suite(suite, suite.parent / "out", "cpu", lines.append)
    return lines


def test_all_is_measured_and_compared(suite: Path, said: list[str]) -> None:
    assert said[0] == "0 of 4 trainings are measured" and said[-1].startswith("4/4 tweets: lora r=8, lr 1e-3, seed 1: 0.")
    facts = facts_of(run_suite(suite, suite.parent / "out", "cpu", said.append))
    assert said[-1] == "4 of 4 trainings are measured"
    assert {(cell["contender"].partition("-")[0], cell["seeds"]) for cell in facts["cells"]} == {("frozen", 2), ("lora", 2)}
    assert len(facts["trainings"]) == 4 and all(t["peak_bytes"] > 0 for t in facts["trainings"])
    assert 0 < sum(t["gpu_seconds"] for t in facts["trainings"]) < facts["budget"]["spent_gpu_seconds"]


def test_it_goes_on_with_what_is_missing_alone(suite: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = suite.parent / "out"
    (gone,) = out.glob("measurements/*lora*--1.json")
    text = gone.read_text()
    gone.unlink()
    asked: list[Any] = []
    monkeypatch.setattr(suites.measure, "measure_all", lambda runner, curve, missing, *_: asked.extend(missing) or False)
    facts = facts_of(run_suite(suite, out, "cpu", said.append, budget="1gpu-s"))
    gone.write_text(text)
    assert [(one.setup.method, one.seed) for one in asked] == [("lora", 1)]
    assert "a larger --budget goes on" in said[-1]
    assert [t["reason"] for t in facts["trainings"] if t["reason"]] == ["not measured: the budget was spent before"]
    assert {cell["seeds"] for cell in facts["cells"]} == {1, 2}


def test_measurements_of_other_data_are_refused(suite: Path, said: list[str]) -> None:
    file = next((suite.parent / "out").glob("measurements/*frozen*--0.json"))
    text = file.read_text()
    file.write_text(json.dumps(json.loads(text) | {"fingerprints": {"data": "1", "model": "2"}}))
    with pytest.raises(UserError, match="other data or of another base"):
        run_suite(suite, suite.parent / "out", "cpu", said.append)
    file.write_text(text)


def test_ctrl_c_says_how_to_go_on_in_one_line(suite: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "peftcost", "bench", str(suite), "-o", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None and process.stderr.readline().startswith("0 of 4")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert told.splitlines()[-1] == "peftcost: Interrupted. Nothing that was finished is lost: the same command goes on."
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_search_in_each_task_is_compared_by_method(suite: Path, tiny_bert: Path, tmp_path: Path) -> None:
    search = {"budget": "60gpu-s", "methods": ["frozen", "lora"]}
    rows = {"train": 200, "dev": 80, "test": 40}
    path = write(tmp_path, search=search, models=[str(tiny_bert)], rows=rows)
    lines: list[str] = []
    facts = facts_of(run_suite(path, tmp_path / "out", "cpu", lines.append))
    assert {c["key"] for c in facts["contenders"]} == {"frozen", "lora", "recommended"}
    assert all(cell["quality_interval"][0] <= cell["quality"] <= cell["quality_interval"][1] for cell in facts["cells"])
    again = run_suite(path, tmp_path / "out", "cpu", lines.append)
    assert len(lines) == 1 and facts_of(again)["cells"] == facts["cells"]
