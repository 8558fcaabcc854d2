"""The numbers that a search decides by."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import peftcost
from peftcost.core.setup import Setup
from peftcost.core.statistics import NonInferiority
from peftcost.methods import get_method
from peftcost.searcher.actions import Action, Explore, Wait
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.searcher.decide import Moment, next_action
from peftcost.searcher.state import SearchState
from peftcost.store.journal import Journal

PACKAGE = Path(peftcost.__file__).parent
METHODS = ["frozen", "full"]
BETS = {name: [Setup.of(name, get_method(name).prior(), 100)] for name in METHODS}
PATIENT = replace(DEFAULT_CONFIG, opening_share=0.0, first_share=0.0)
"""After the first method no other goes first."""


def resumed(path: Path, planned: dict[str, Any]) -> SearchState:
    """What a later session reads of a run that was planned so and had begun its first method."""
    names = ("startup_seconds", "seconds_per_example", "evaluation_seconds_per_example", "peak_bytes")
    probe = dict.fromkeys((*names, "trainable_parameters", "total_parameters"), 1)
    rows = {"train_rows": 100, "dev_rows": 100, "test_rows": 0, "infeasible": {}, "stops": [100]}
    predicted = {"gpu_seconds": 1.0, "peak_bytes": 1, "trial_seconds": 1.0}
    started = {"seed": 0, "role": "explore", "device": 0, "parent": None, "predicted": predicted}
    journal = Journal()
    journal.move_to(path)
    journal.write("budget", limit_gpu_seconds=1e5)
    journal.write("acquired", device=0, category="startup")
    journal.write("planned", probes=dict.fromkeys(METHODS, probe), methods=METHODS, references=METHODS, **rows, **planned)
    journal.write("started", trial=0, setup=BETS["frozen"][0].as_dict(), **started)
    journal.close()
    state = SearchState()
    state.apply_all(Journal(path).events)
    return state


def decided(state: SearchState) -> Action:
    return next_action(Moment(state, BETS, lambda arm, stop: [], None, NonInferiority(0.01), state.last_t))


def test_a_resumed_run_decides_by_the_numbers_that_it_began_with(tmp_path: Path) -> None:
    state = resumed(tmp_path / "events.jsonl", {"config": PATIENT.as_dict()})
    assert state.config == PATIENT
    assert decided(state) == Wait()


@pytest.mark.parametrize("planned", [{}, {"config": {"of_another_version": 1.0}}])
def test_a_run_that_recorded_none_decides_by_the_default(tmp_path: Path, planned: dict[str, Any]) -> None:
    state = resumed(tmp_path / "events.jsonl", planned)
    assert state.config == DEFAULT_CONFIG
    assert decided(state) == Explore(BETS["full"][0])


def test_every_number_is_read_somewhere() -> None:
    read = {
        node.attr
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).lower().endswith("config")
    }
    assert {field.name for field in fields(SearchConfig)} <= read


def test_every_number_says_why_it_is_there() -> None:
    tree = ast.parse((PACKAGE / "searcher" / "config.py").read_text())
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    for field, reason in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(reason, ast.Expr), ast.unparse(field)
