"""Baselines are on no device's bill, and under a limit of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from peftcost.core.setup import Setup
from peftcost.cost.device import Device
from peftcost.engine.asked import Asked
from peftcost.engine.messages import Message, Phase
from peftcost.runner.executor import ASIDE
from peftcost.runner.runner import BudgetSpent
from peftcost.searcher.controller import Controller
from peftcost.searcher.spec import default_methods
from peftcost.searcher.state import SearchState
from peftcost.session import final_test
from peftcost.store.journal import Journal
from peftcost.task.task import load_task
from peftcost.tasks import get_task_type


class WritesOneAndHangs:
    """An executor whose job aside has the majority class ready, and never TF-IDF."""

    patience_seconds = 0.0
    devices = (Device("cpu", "a CPU", 0, 1),)
    log = Path("nowhere")

    def __init__(self) -> None:
        self.killed: list[int] = []

    def free(self) -> list[int]:
        return []

    def start(self, index: int, kind: str, payload: dict[str, Any]) -> None:
        assert (index, kind) == (ASIDE, "baselines")
        np.save(Path(payload["out"]) / "majority.npy", np.array([[0, 0], [0, 1]]))

    def poll(self, timeout: float) -> Iterator[tuple[int, Message]]:
        yield ASIDE, Phase("startup", 0.0)

    def kill(self, index: int) -> None:
        self.killed.append(index)


def test_the_untuned_model_is_called_after_what_it_is() -> None:
    assert final_test.untuned_title(get_task_type("text-classification")) == "the untuned model under a fresh head"
    assert final_test.untuned_title(get_task_type("causal-lm")) == "the untuned model"


def test_only_methods_with_something_to_train_are_tried_unasked() -> None:
    usual = default_methods(get_task_type("text-classification"))
    assert {"full", "frozen", "lora"} <= set(usual)
    assert default_methods(get_task_type("causal-lm")) == [name for name in usual if name != "frozen"]


def test_what_takes_too_long_is_ended_and_told_and_what_is_known_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final_test, "BASELINES_SECONDS", 0.05)
    state, executor = SearchState(limit_gpu_seconds=0.1), WritesOneAndHangs()
    metric = get_task_type("text-classification").metrics["accuracy"]
    run: Any = SimpleNamespace(folder=SimpleNamespace(baselines=tmp_path), metric=metric, seed=0)
    kind = get_task_type("text-classification")
    data = SimpleNamespace(task_type=kind, test=[{"text": "a"}, {"text": "b"}])
    spec = SimpleNamespace(task=load_task("builtin:tweets"), seed=0, data=data)
    files = final_test.baselines_of(Controller(executor, Journal(), state), run, spec)  # type: ignore[arg-type]
    found = final_test.test_qualities(files, run, data)  # type: ignore[arg-type]
    assert found["majority"] is not None and found["majority"]["n"] == 2 and found["tfidf"] is None
    assert found["majority"]["title"] == kind.baselines()["majority"].title
    assert executor.killed == [ASIDE]
    assert "TF-IDF" in state.warnings[0] and "ended after 0 s" in state.warnings[0]
    assert state.ledger.spent() == 0.0


class Answers:
    """A controller whose devices write at once, for as many jobs as the budget lasts for."""

    def __init__(self, lasts_for: int = 2) -> None:
        self.lasts_for, self.asked, self.state = lasts_for, list[str](), SearchState()
        self.state.decisive = lambda setup_id: [SimpleNamespace(seed=7, setup=SETUP)]  # type: ignore[method-assign, assignment]

    def run_one(self, kind: str, payload: dict[str, Any]) -> None:
        self.asked.append(f"{kind} {payload['setup'] and payload['setup']['method']}")
        if len(self.asked) > self.lasts_for:
            raise BudgetSpent("spent")
        right = [1.0, 1.0] if payload["setup"] else [0.0, 0.0]
        np.save(Path(payload["out"]) / f"{payload['name']}.npy", np.array([right, [1.0, 0.0]]).T.repeat(2, 1)[:, :3])

    def record(self, event: str, text: str) -> None:
        self.state.warnings.append(text)


SETUP = Setup.of("lora", {}, 100)


def answered_data(*prompts: str) -> SimpleNamespace:
    """The rows 3 and 5 of test hold these prompts."""
    rows = {3: prompts[0], 5: prompts[1]}
    test = [{"prompt": [{"role": "user", "content": rows.get(i, f"other {i}")}], "completion": "yes"} for i in range(6)]
    return SimpleNamespace(task_type=get_task_type("causal-lm"), test=test)


def answered(controller: Answers, tmp_path: Path) -> final_test.Answers | None:
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    Asked([3, 5], ["yes", "no"], 12).save(prepared)
    (tmp_path / "trial" / "model").mkdir(parents=True)
    (tmp_path / "baselines").mkdir()
    folder = SimpleNamespace(baselines=tmp_path / "baselines", trial=lambda setup_id, seed: tmp_path / "trial")
    run = SimpleNamespace(folder=folder, prepared={"m": str(prepared)}, seed=0, prepared_for=lambda setup: str(prepared))
    base = SimpleNamespace(task=SimpleNamespace(only_model="m"))
    data = SimpleNamespace(task_type=get_task_type("causal-lm"))
    spec = SimpleNamespace(task=SimpleNamespace(models=["m"]), bases={"m": base}, seed=0, data=data)
    controller.state.setup = lambda setup_id: SETUP  # type: ignore[method-assign]
    return final_test.answers_of(controller, run, spec, SimpleNamespace(id="s"))  # type: ignore[arg-type]


def test_what_was_predicted_of_the_test_split_is_not_paid_twice(tmp_path: Path) -> None:
    """A run that is given more, but too little for anything, keeps its test results."""
    controller = Answers(lasts_for=0)
    (tmp_path / "untuned.npy").touch()
    (tmp_path / "test_rows.npy").touch()
    folder = SimpleNamespace(baselines=tmp_path, trial=lambda setup_id, seed: tmp_path)
    run = SimpleNamespace(folder=folder, prepared={"m": "prepared"}, seed=0, prepared_for=lambda setup: "prepared")
    spec = SimpleNamespace(task=SimpleNamespace(models=["m"]), seed=0)
    controller.state.setup = lambda setup_id: SETUP  # type: ignore[method-assign]
    found = final_test.open_tests(controller, run, spec, SimpleNamespace(id="s", best="s"))  # type: ignore[arg-type]
    assert found is not None and None not in found.values()
    assert not controller.asked and not controller.state.warnings
    run.prepared["another"] = "of-another"
    assert final_test.untuned_folder(run, "prepared") != final_test.untuned_folder(run, "of-another")  # type: ignore[arg-type]


def test_copies_of_a_prompt_are_drawn_together_where_answers_are_judged(tmp_path: Path) -> None:
    file = tmp_path / "answers.npy"
    np.save(file, np.array([[1.0, 0, 0], [0.0, 0, 0]]))
    found = final_test.Answers([3, 5], 12, {"untuned": file})
    run = SimpleNamespace(seed=0)
    alone, twice = (found.scored(run, answered_data(*own)) for own in (("one", "two"), ("one", "one")))  # type: ignore[arg-type]
    assert alone["untuned"]["exact_match"]["quality_interval"] == [0.0, 1.0]
    assert twice["untuned"]["exact_match"]["quality_interval"] == [0.5, 0.5]


def test_the_recommended_and_the_untuned_model_write_and_nobody_else(tmp_path: Path) -> None:
    controller = Answers()
    found = answered(controller, tmp_path)
    assert controller.asked == ["answer lora", "answer None"]
    assert found is not None
    scores = found.scored(SimpleNamespace(seed=0), answered_data("one", "two"))  # type: ignore[arg-type]
    assert (scores["rows"], scores["new_tokens"]) == (2, 12)
    assert scores["recommended"]["exact_match"]["quality"] == 1
    assert scores["untuned"]["exact_match"] == {"quality": 0.0, "quality_interval": [0.0, 0.0], "n": 2}


@pytest.mark.parametrize(("jobs", "wrote"), [(0, set()), (1, {"recommended"})])
def test_a_budget_that_is_spent_before_all_have_written_is_told(tmp_path: Path, jobs: int, wrote: set[str]) -> None:
    controller = Answers(lasts_for=jobs)
    found = answered(controller, tmp_path)
    assert (set(found.files) if found is not None else set()) == wrote
    missing = "the untuned model" if wrote else "the recommended model and the untuned model"
    assert controller.state.warnings == [f"The budget did not last for {missing} to write answers."]
