"""The contract of trackers, to be run over one's own: derive a test class from it, give it `tracker` and `delivered`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from peftcost.trackers import Fact, TrackedSearch, Tracker

FACTS: Mapping[str, Fact] = {"setup": "lora-1a2b", "method": "lora", "rank": 8, "learning_rate": 1e-3, "top_layers": None}
REPORT_TEXT = "the report"


@dataclass(frozen=True)
class Delivered:
    """What has arrived, read back from where the tracker has put it. By title of a training: `facts` (as texts), `curves`
    ((step, value) by name, in order) and `figures`. files: the contents of what came with the end."""

    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, list[tuple[int, float]]]] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class TrackerContract:
    """What every tracker holds to. keeps_files: the report is handed over, not only named."""

    keeps_files = True

    def tracker(self) -> Tracker:
        """A new one."""
        raise NotImplementedError

    def delivered(self, search: TrackedSearch) -> Delivered:
        """What has arrived of a search, with no network."""
        raise NotImplementedError

    @pytest.fixture
    def search(self, tmp_path: Path) -> TrackedSearch:
        folder = tmp_path / "reviews"
        folder.mkdir()
        (folder / "report.html").write_text(REPORT_TEXT, encoding="utf-8")
        return TrackedSearch("reviews", folder)

    def test_it_says_what_it_is_called_and_what_it_needs(self) -> None:
        kind = type(self.tracker())
        assert all(isinstance(text, str) and text for text in (kind.name, kind.package, kind.install))

    def test_trainings_beside_each_other_keep_their_own_curves(self, search: TrackedSearch) -> None:
        tracker = self.tracker()
        tracker.open(search)
        for trial, title in ((0, "first"), (1, "second")):
            tracker.start(trial, title, FACTS)
        for step in (10, 20):
            tracker.log(0, step, {"train_loss": 1 / step})
            tracker.log(1, step, {"train_loss": 2 / step})
        tracker.end(0, True, {"quality": 0.75})
        tracker.log(1, 20, {"dev_loss": 0.5, "quality": 0.625})
        tracker.end(1, False, {})
        tracker.finish([search.folder / "report.html"])
        tracker.close()
        found = self.delivered(search)
        assert found.facts["first"].items() >= {name: str(value) for name, value in FACTS.items()}.items()
        for title, factor in (("first", 1.0), ("second", 2.0)):
            steps, losses = zip(*found.curves[title]["train_loss"], strict=True)
            assert steps == (10, 20)
            assert losses == pytest.approx((factor / 10, factor / 20))
        assert found.curves["second"]["quality"] == [(20, 0.625)]
        assert found.figures["first"] == {"quality": 0.75}
        assert not found.figures.get("second")
        if self.keeps_files:
            assert found.files == {"report.html": REPORT_TEXT}

    def test_a_search_that_is_interrupted_and_goes_on_is_delivered(self, search: TrackedSearch) -> None:
        for session in range(2):
            tracker = self.tracker()
            tracker.open(search)
            tracker.start(3, f"training-{session}", FACTS)
            tracker.log(3, 10, {"train_loss": 0.5})
            tracker.close()
        curves = self.delivered(search).curves
        assert all(curves[f"training-{session}"]["train_loss"] == [(10, 0.5)] for session in range(2))
