"""The main job on a tiny base and real tweets: workers are real processes, the journal is the truth."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml

import peftcost
from peftcost.cli.commands.recommend import recommend as recommend_command
from peftcost.errors import UserError
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.state import SearchState
from peftcost.store.journal import read_events
from peftcost.task.task import Rows, Task, load_task

pytestmark = pytest.mark.timed


def tiny_task(tiny_bert: Path, **rows: int) -> Task:
    wanted = Rows(**{"train": 400, "dev": 120, "test": 100, **rows})
    return load_task("builtin:tweets").model_copy(update={"model": str(tiny_bert), "rows": wanted})


@pytest.fixture(scope="module")
def run(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> peftcost.Run:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    before = time.monotonic()
    found = peftcost.search(
        tiny_task(tiny_bert), "100gpu-s", methods=["full", "frozen", "lora", "bitfit"], seed=1, out=out, devices="cpu:2"
    )
    (out / "outside.txt").write_text(str(time.monotonic() - before))
    return found


def test_the_folder_holds_what_the_design_names(run: peftcost.Run) -> None:
    names = {path.name for path in run.folder.path.iterdir()}
    expected = {"task.yaml", "study.db", "events.jsonl", "result.json", "recipe.yaml", "report.html", "report.md"}
    assert expected | {"front.png", "setups"} <= names


def test_result_json_has_the_fields_that_scripts_rely_on(run: peftcost.Run) -> None:
    result = run.folder.read_result()
    assert result["schema_version"] == 1
    assert result["task"].keys() >= {"model", "data", "task", "columns", "metric", "margin", "fingerprints", "rows"}
    assert result["devices"].keys() >= {"kind", "name", "count", "threads"}
    assert result["budget"].keys() >= {"limit_gpu_seconds", "spent_gpu_seconds", "stopped_because"}
    measured = [entry for entry in result["setups"] if entry["status"] == "measured"]
    assert {entry["method"] for entry in measured} == {"full", "frozen", "lora", "bitfit"}
    for entry in measured:
        assert entry["predicted"].keys() == {"gpu_seconds", "peak_bytes"}
        for measurement in entry["measurements"]:
            assert measurement["role"] in ("explore", "confirm")
            assert measurement["cost_basis"] == "measured"
    assert set(result["front"]) <= {entry["id"] for entry in measured}
    assert result["recommendation"]["id"] in {entry["id"] for entry in measured}
    assert result["test"].keys() == {"recommended", "best", "untuned", "majority", "tfidf"}
    assert all(entry["n"] == 100 for entry in result["test"].values())


def test_methods_are_probed_by_priority_however_they_were_named(run: peftcost.Run) -> None:
    """The budget may end while they are."""
    (planned,) = [event for event in read_events(run.folder.path / "events.jsonl") if event["event"] == "planned"]
    assert list(planned["probes"]) == ["frozen", "full", "lora", "bitfit"]


def test_the_budget_holds_and_the_ledger_is_exact(run: peftcost.Run) -> None:
    result = run.result
    spent = result.budget.spent_gpu_seconds
    assert spent <= result.budget.limit_gpu_seconds
    assert sum(result.ledger.values()) == pytest.approx(spent)
    assert {"startup", "lost", "idle"} <= result.ledger.keys()
    outside = float((run.folder.path / "outside.txt").read_text())
    state = SearchState()
    state.apply_all(json.loads(line) for line in run.folder.journal_file.read_text().splitlines())
    held = state.ledger.wall_seconds()
    assert spent <= 2 * held
    assert held <= outside <= held + 60, "imports and tokenizing before, baselines and report after are not on the devices"


def test_the_study_is_one_that_optuna_opens(run: peftcost.Run) -> None:
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run.folder.study_file}")
    assert study.metric_names == ["quality", "gpu_seconds", "peak_bytes"]
    told = {t.number: t for t in study.trials if t.state.name == "COMPLETE"}
    by_setup = {(e.id, m.seed): m for e in run.result.setups for m in e.measurements}
    assert len(told) == len(by_setup)
    for trial in told.values():
        measurement = by_setup[trial.user_attrs["setup"], trial.user_attrs["seed"]]
        assert trial.values == [measurement.quality, measurement.gpu_seconds, measurement.peak_bytes]
        assert trial.user_attrs.keys() >= {"lineage", "parent", "seed", "role", "stop_examples"}
    assert not [t for t in study.trials if t.state.name == "RUNNING"]


def test_the_state_is_a_fold_over_the_journal(run: peftcost.Run) -> None:
    state = SearchState()
    state.apply_all(json.loads(line) for line in run.folder.journal_file.read_text().splitlines())
    assert state.phase == "finished"
    assert state.ledger.spent() == pytest.approx(run.result.budget.spent_gpu_seconds)
    assert state.recommended == run.result.recommendation.id


def test_the_numbers_that_it_decides_by_are_recorded(run: peftcost.Run) -> None:
    events = [json.loads(line) for line in run.folder.journal_file.read_text().splitlines()]
    (recorded,) = [event["config"] for event in events if event["event"] == "planned"]
    assert recorded.keys() == SearchConfig().as_dict().keys()
    assert SearchConfig.from_dict(recorded) == SearchConfig()


def test_other_questions_cost_nothing(run: peftcost.Run) -> None:
    cheapest = run.recommend("cheapest")
    assert cheapest.gpu_seconds == min(e.gpu_seconds for e in run.result.setups if e.gpu_seconds is not None)
    named = run.recommend(setup=cheapest.id)
    assert (named.id, named.policy, named.best) == (cheapest.id, "named", run.recommend().best)
    with pytest.raises(UserError, match="the nearest is"):
        run.recommend(min_quality=2.0)


def test_another_answer_is_told_as_the_run_s_own_is(run: peftcost.Run, capsys: pytest.CaptureFixture[str]) -> None:
    cheapest = run.recommend("cheapest")
    recommend_command(run.folder.path, "cheapest")
    what, how_sure, *_, after = capsys.readouterr().out.splitlines()
    assert what.startswith(f"• {cheapest.id.split('-')[0]}") and "epochs)" in what
    assert how_sure.startswith("• Confirmed" if cheapest.confirmed else "• Not confirmed")
    own = run.result.recommendation
    assert own is not None and (cheapest.id == own.id or f"--setup {cheapest.id} -o recipe.yaml" in after)


def test_a_run_can_be_moved(run: peftcost.Run, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    subprocess.run(["cp", "-r", str(run.folder.path), str(moved)], check=True)
    again = peftcost.Run(moved)
    assert again.recommend().id == run.recommend().id
    assert str(run.folder.path) not in (moved / "result.json").read_text()


def test_a_finished_run_says_how_to_go_on(run: peftcost.Run) -> None:
    with pytest.raises(UserError, match=r"\+1gpu-h"):
        peftcost.resume(run.folder.path)


SCRIPT = """
import sys, peftcost
from peftcost.task.task import Task
task = Task.model_validate_json(sys.argv[1])
peftcost.search(task, "30gpu-s", methods=["full", "frozen"], seed=1, out=sys.argv[2], devices="cpu:2")
"""


@pytest.mark.parametrize("victim", ["controller", "worker"])
def test_killed_at_any_time_nothing_finished_is_lost(tiny_bert: Path, tmp_path: Path, victim: str) -> None:
    """The script has no main guard: workers must not run it again."""
    out, script = tmp_path / "run", tmp_path / "script.py"
    script.write_text(SCRIPT)
    task = tiny_task(tiny_bert).model_dump_json()
    process = subprocess.Popen([sys.executable, str(script), task, str(out)], stderr=subprocess.PIPE, text=True)
    journal = out / "events.jsonl"
    wait_for(lambda: journal.exists() and count(journal, "measured" if victim == "controller" else "started") >= 1, process)
    if victim == "controller":
        process.kill()
        process.wait()
        time.sleep(0.5)
        before = measured(journal)
        assert before
        run = peftcost.resume(out)
        assert before.items() <= measured(journal).items(), "what was measured stands as it was"
    else:
        child = newest_child(process.pid)
        os.kill(child, signal.SIGKILL)
        assert process.wait(timeout=200) == 0, process.stderr.read() if process.stderr else ""
        run = peftcost.Run(out)
        assert count(journal, "interrupted") == 1
    result = run.result
    assert result.ledger["lost"] > 0 or victim == "controller"
    assert result.budget.spent_gpu_seconds <= result.budget.limit_gpu_seconds
    assert sum(result.ledger.values()) == pytest.approx(result.budget.spent_gpu_seconds)
    with sqlite3.connect(out / "study.db") as database:
        assert database.execute("select count(*) from trials where state = 'RUNNING'").fetchone() == (0,)


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 120) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else "ended early"
        assert time.monotonic() < end
        time.sleep(0.05)


def count(journal: Path, event: str) -> int:
    return sum(f'"event": "{event}"' in line for line in journal.read_text().splitlines())


def measured(journal: Path) -> dict[int, str]:
    events = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    return {e["trial"]: json.dumps(e["measurement"]) for e in events if e["event"] == "measured"}


def newest_child(pid: int) -> int:
    """The training process: the youngest descendant."""
    import psutil

    def busy() -> list[psutil.Process]:
        children = psutil.Process(pid).children(recursive=True)
        return [c for c in children if c.ppid() != pid]

    end = time.monotonic() + 60
    while not busy():
        assert time.monotonic() < end
        time.sleep(0.02)
    return max(busy(), key=lambda child: child.create_time()).pid


def test_a_budget_that_buys_nothing_says_how_much_is_needed(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"too small.*at least.*budget='\d+gpu-s'"):
        peftcost.search(tiny_task(tiny_bert), "4gpu-s", methods=["full"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_setup_that_fails_ends_alone(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that explodes, in one method's prior: it is marked with the reason, and the search goes on."""
    from peftcost.methods import get_method

    method = type(get_method("full"))
    broken = {**method().prior(), "learning_rate": 1e30, "max_grad_norm": 0.0, "warmup_steps": 0}
    monkeypatch.setattr(method, "prior", lambda self: broken)
    run = peftcost.search(tiny_task(tiny_bert), "40gpu-s", methods=["full", "frozen"], out=tmp_path / "run", devices="cpu:2")
    failed = [entry for entry in run.result.setups if entry.method == "full"]
    assert [entry.status for entry in failed][:1] == ["failed"]
    assert "loss" in (failed[0].reason or "") or "finite" in (failed[0].reason or "")
    assert run.result.recommendation.id != failed[0].id
    assert any(entry.status == "measured" for entry in run.result.setups if entry.method == "frozen")
    assert run.result.ledger["lost"] > 0


def test_the_recipe_names_what_a_colleague_needs(run: peftcost.Run) -> None:
    recipe = yaml.safe_load(run.folder.recipe_file.read_text())
    assert recipe["setup"]["method"] in ("full", "frozen", "lora", "bitfit")
    assert ("prediction_interval" in recipe["expected"]) == (len(recipe["seeds"]) >= 3), "fewer seeds promise nothing"
    assert recipe["fingerprints"].keys() == {"data", "model"}
    assert multiprocessing.active_children() == []


def test_what_more_rows_would_bring_is_measured_within_the_budget(run: peftcost.Run) -> None:
    told = run.result.recommendation
    assert told is not None and told.twice_the_rows is not None
    more = told.twice_the_rows
    assert more.train_rows == [100, 200, 400] and more.qualities[-1] == pytest.approx(told.quality)
    low, high = more.gain_interval
    assert low <= more.gain <= high
    assert f"Twice the training rows would bring about {more.gain:+.3f}" in (run.folder.path / "report.md").read_text()
    left = {path.name for path in run.folder.parts(told.id, 100).iterdir()}
    assert "dev_rows.npy" in left and "model" not in left and "checkpoint" not in left
