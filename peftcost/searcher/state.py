"""What is known of a running search: a fold over the journal's events, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from peftcost.core.measurement import Measurement, Role, reading_error, reading_scale
from peftcost.core.setup import Setup
from peftcost.cost.model import CostModel, Prediction, Probe
from peftcost.runner.books import Books
from peftcost.runner.slot import Slot, slot_of
from peftcost.searcher.config import DEFAULT_CONFIG, SearchConfig
from peftcost.searcher.index import Explored
from peftcost.searcher.trial import Trial


@dataclass
class SearchState(Books):
    """The books, and beside them:

    arms: methods (on bases, where there are several); references: those that go first. stops: the lengths at which lineages
    are measured, ascending. dev_sample: how many dev examples exploring predicts, None for all. exploring: until the first
    confirmation. spent_before_gpu_seconds: when the budget was last set. recipe_setups: of the recipes that were named;
    earlier: the best setups of the runs that were named. config: the numbers that the search decides by.
    """

    arms: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    dev_sample: int | None = None
    cost: CostModel = field(default_factory=lambda: CostModel({}, 0, 0))
    infeasible: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    exploring: bool = True
    spent_before_gpu_seconds: float = 0.0
    earlier: list[Setup] = field(default_factory=list)
    recipe_setups: list[Setup] = field(default_factory=list)
    config: SearchConfig = DEFAULT_CONFIG
    trials: dict[int, Trial] = field(default_factory=dict)
    phase: str = "planning"
    stopped_because: str | None = None
    recommended: str | None = None
    warnings: list[str] = field(default_factory=list)
    explored: Explored = field(default_factory=Explored)
    confirmed: set[str] = field(default_factory=set)
    """Setups that were trained again, with a measurement."""
    limits: tuple[float, float] = (0.0, 1.0)
    """The metric's lowest and highest possible value; either may be infinite."""
    floor: float | None = None
    """The quality on dev of the simplest baseline."""
    better_chance: float = 0.0
    """That the same budget again finds something better than all that was measured, by more than the margin: as the last
    search foresaw it, until one that was given more has ended, too."""
    _by_setup: dict[str, list[Trial]] = field(default_factory=dict)
    _running: dict[int, Trial] = field(default_factory=dict)
    """By number."""

    # -- reading ---------------------------------------------------------------------------------------------------

    def measured(self, role: Role | None = None) -> list[Trial]:
        """Trials with a measurement, of one role or of both."""
        return [t for t in self.trials.values() if t.measurement is not None and role in (None, t.role)]

    def running(self) -> list[Trial]:
        """In the order in which they were started."""
        return sorted(self._running.values(), key=lambda trial: trial.number)

    def running_on(self, slot: Slot) -> list[Trial]:
        """One, or those that share a pass of the base, in the order in which they were started."""
        return [trial for trial in self.running() if trial.slot == slot]

    def setups(self) -> dict[str, Setup]:
        """Every setup of a trial, by id, in the order of first use."""
        return {setup_id: trials[0].setup for setup_id, trials in self._by_setup.items()}

    def setup(self, setup_id: str) -> Setup:
        return self._by_setup[setup_id][0].setup

    def trials_of(self, setup_id: str) -> list[Trial]:
        return self._by_setup.get(setup_id, [])

    def decisive(self, setup_id: str) -> list[Trial]:
        """The measured trials that speak for a setup: confirmations if there are any, else what exploring gave.

        The best of many noisy results looks better than it is, so a contender's first result is set aside once
        fresh seeds have been measured.
        """
        own = [t for t in self.trials_of(setup_id) if t.measurement is not None]
        return [t for t in own if t.role == "confirm"] or own

    @property
    def unit(self) -> float:
        """What qualities are measured by: `reading_scale` of the best readings."""
        found = [trial.measured for trial in self.explored.best(self.config.most_readings)]
        return reading_scale(found, self.cost.dev_rows, self.limits)

    def reading_error(self, m: Measurement) -> float:
        """The standard error of a quality over the dev examples."""
        return reading_error(m, self.cost.dev_rows, self.unit)

    def closing_seconds(self) -> float:
        """What the test takes at the end."""
        return self.cost.closing_seconds()

    # -- folding ---------------------------------------------------------------------------------------------------

    def _on_budget(self, event: dict[str, Any]) -> None:
        """A run that is given more explores again, and what there was too little for may now be paid."""
        super()._on_budget(event)
        self.exploring = True
        self.spent_before_gpu_seconds, self.stopped_because = self.ledger.spent(), None
        self.skipped.clear()
        kept = [trial for trial in self.trials.values() if not trial.cut_off]
        self.trials, self._by_setup, self.explored = {}, {}, Explored()
        for trial in kept:
            self._add(trial)

    def _add(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        self._by_setup.setdefault(trial.setup.id, []).append(trial)
        if trial.role == "explore":
            self.explored.start(trial)
            if trial.measurement is not None:
                self.explored.measure(trial)

    def _on_warmed(self, event: dict[str, Any]) -> None:
        """Earlier runs and recipes were named."""
        self.earlier = [Setup.from_dict(raw) for raw in event["setups"]]
        self.recipe_setups = [Setup.from_dict(raw) for raw in event.get("recipes", [])]

    def _on_phase(self, event: dict[str, Any]) -> None:
        super()._on_phase(event)
        for trial in self.running():
            if event["device"] not in trial.slot.devices:
                continue
            if trial.phase == "checkpoint":
                trial.saved_t = event["t"]
            trial.phase = event["category"]

    def _on_planned(self, event: dict[str, Any]) -> None:
        self.config = SearchConfig.from_dict(event.get("config", {}))  # an old run has the default
        probes = {name: Probe(**raw) for name, raw in event["probes"].items()}
        peaks = {probe.memory_key: probe.predicted_peak_bytes for probe in probes.values()}
        rows = event["dev_rows"], event["test_rows"], event["train_rows"]
        self.cost = CostModel(probes, *rows, ranks=event.get("ranks", 1), peaks=peaks)
        low, high = event.get("limits", (0.0, 1.0))
        self.limits = (-math.inf if low is None else low, math.inf if high is None else high)
        self.floor = event.get("floor")
        self.arms = event["methods"]
        self.references = event.get("references") or event.get("anchors", self.arms[:3])  # its name once
        self.infeasible = dict(event["infeasible"])
        self.stops = list(event.get("stops") or [event["stop_examples"]])  # runs of before there were stops
        self.dev_sample = event.get("dev_sample")

    def _on_lengthened(self, event: dict[str, Any]) -> None:
        self.stops = list(event["stops"])

    def _on_warned(self, event: dict[str, Any]) -> None:
        if event["text"] not in self.warnings:
            self.warnings.append(event["text"])

    def _on_skipped(self, event: dict[str, Any]) -> None:
        self.skipped[event["method"]] = event["reason"]

    def _on_started(self, event: dict[str, Any]) -> None:
        trial = Trial(
            number=event["trial"],
            setup=Setup.from_dict(event["setup"]),
            seed=event["seed"],
            role=event["role"],
            slot=slot_of(event),
            predicted=Prediction(**event["predicted"]),
            parent=event.get("parent"),
            started_t=event["t"],
            saved_t=event["t"],
        )
        self._running[trial.number] = trial
        self._add(trial)
        self.exploring &= event["role"] == "explore"
        self.phase = "exploring" if event["role"] == "explore" else "confirming"

    def _on_predicted(self, event: dict[str, Any]) -> None:
        trial = self.trials[event["trial"]]
        trial.predicted = replace(trial.predicted, peak_bytes=event["peak_bytes"])
        self.cost = self.cost.with_peak(trial.setup, event["peak_bytes"])

    def _on_measured(self, event: dict[str, Any]) -> None:
        trial = self.trials[event["trial"]]
        self._running.pop(trial.number, None)
        trial.status, trial.measurement = "measured", Measurement.from_dict(event["measurement"])
        m = trial.measurement
        if trial.role == "explore":
            self.explored.measure(trial)
        else:
            self.confirmed.add(trial.setup.id)
        if not m.contended:
            self.cost = self.cost.corrected(trial.setup, m.gpu_seconds)
        self.cost = self.cost.with_peak(trial.setup, m.peak_bytes)
        self.cost = self.cost.with_kept(trial.setup, m.kept_train_rows, m.kept_dev_rows)

    def _on_failed(self, event: dict[str, Any]) -> None:
        trial = self.trials[event["trial"]]
        self._running.pop(trial.number, None)
        trial.status, trial.reason = "failed", event["reason"]
        trial.infeasible, trial.cut_off = bool(event.get("infeasible")), bool(event.get("cut_off"))
        if not event.get("shared"):  # else the device has worked for others meanwhile
            self._book_as_lost(trial, trial.started_t, event["t"])

    def _on_interrupted(self, event: dict[str, Any]) -> None:
        """Its worker is gone; what the last checkpoint holds is not lost."""
        trial = self.trials[event["trial"]]
        self._running.pop(trial.number, None)
        trial.status, trial.reason = "interrupted", event["reason"]
        self._book_as_lost(trial, trial.saved_t, event["t"])

    def _book_as_lost(self, trial: Trial, since: float, until: float) -> None:
        for device in trial.slot.devices:
            self.ledger.rebook(device, since, until, "lost")

    def _on_resumed(self, event: dict[str, Any]) -> None:
        trial = self.trials[event["trial"]]
        trial.status, trial.slot, trial.phase = "running", slot_of(event), "startup"
        self._running[trial.number] = trial
        trial.started_t = trial.saved_t = event["t"]

    def _on_forgotten(self, event: dict[str, Any]) -> None:
        """There was no room for its checkpoint: its lineage would begin anew."""
        self.trials[event["trial"]].has_checkpoint = False

    def _on_foreseen(self, event: dict[str, Any]) -> None:
        self.better_chance = event["better_chance"]

    def _on_closing(self, event: dict[str, Any]) -> None:
        self.stopped_because = event["because"]
        for trial in self.trials.values():
            trial.has_checkpoint = False
        self.phase = "testing"

    def _on_kept(self, event: dict[str, Any]) -> None:
        """These checkpoints outlive the search."""
        for number in event["checkpoints"]:
            self.trials[number].has_checkpoint = True

    def _on_recommended(self, event: dict[str, Any]) -> None:
        self.recommended = event["setup"]

    def _on_finished(self, event: dict[str, Any]) -> None:
        self.phase = "finished"
