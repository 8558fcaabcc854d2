"""Which checkpoints stay on the disk."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from synthetic_table import synthetic_table

from peftcost.searcher.checkpoints import Checkpoints
from peftcost.searcher.explore import Candidate, promotions
from peftcost.searcher.state import SearchState
from peftcost.simulator.search import simulate
from peftcost.store.run_folder import RunFolder

TABLE = synthetic_table()
BYTES = 1000
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def state() -> SearchState:
    """Of a search that is still going on."""
    found = simulate(TABLE, 0.2 * TABLE.total_gpu_seconds, 0).state
    assert found.stopped_because is None
    return found


@pytest.fixture
def folder(tmp_path: Path, state: SearchState) -> RunFolder:
    """Every measured trial has a checkpoint."""
    folder = RunFolder(tmp_path)
    for trial in state.measured():
        checkpoint = folder.trial(trial.setup.id, trial.seed) / "checkpoint"
        checkpoint.mkdir(parents=True)
        (checkpoint / "tensors").write_bytes(bytes(BYTES))
    return folder


def kept(folder: RunFolder, state: SearchState) -> set[int]:
    return {t.number for t in state.measured() if (folder.trial(t.setup.id, t.seed) / "checkpoint").exists()}


def test_each_lineage_keeps_its_farthest_one_until_the_search_has_ended(folder: RunFolder, state: SearchState) -> None:
    checkpoints = Checkpoints(folder)
    assert checkpoints.tidy(state) == []
    assert kept(folder, state) == {t.number for t in state.explored.latest.values()}
    state.apply({"event": "closing", "t": state.last_t, "because": "enough"})
    assert checkpoints.tidy(state) == []
    assert kept(folder, state) == set()


def test_on_a_full_disk_the_worst_go_and_their_lineages_would_begin_anew(
    folder: RunFolder, state: SearchState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 8 * BYTES))
    lineages = len(state.explored.latest)
    gone = Checkpoints(folder).tidy(state)
    assert len(gone) == lineages - (8 + lineages) // 4, "a quarter of what is free without them"
    qualities = {t.number: t.measurement.quality for t in state.measured() if t.measurement is not None}
    assert max(qualities[n] for n in gone) <= min(qualities[n] for n in kept(folder, state))
    for number in gone:
        state.apply({"event": "forgotten", "t": state.last_t, "trial": number})
    anew = [way for way in promotions(state) if way.action.parent is None]
    assert anew and {way.action.setup.lineage for way in anew} <= {state.trials[n].setup.lineage for n in gone}
    assert all(way.needs == Candidate.of(state, way.ahead).needs for way in anew)
