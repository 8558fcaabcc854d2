"""Baselines are on no device's bill, and under a limit of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from peftcost.cost.device import Device
from peftcost.engine.messages import Message, Phase
from peftcost.runner.executor import ASIDE
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
    run = SimpleNamespace(folder=SimpleNamespace(baselines=tmp_path), metric=metric, seed=0)
    data = SimpleNamespace(task_type=get_task_type("text-classification"))
    spec = SimpleNamespace(task=load_task("builtin:tweets"), seed=0, data=data)
    found = final_test.baselines_of(Controller(executor, Journal(), state), run, spec)  # type: ignore[arg-type]
    assert found["majority"]["n"] == 2 and found["tfidf"] is None
    assert executor.killed == [ASIDE]
    assert "TF-IDF" in state.warnings[0] and "ended after 0 s" in state.warnings[0]
    assert state.ledger.spent() == 0.0
