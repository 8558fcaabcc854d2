"""The controller: decides (through `decide`) which trials the devices run, and says what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from peftcost.core.measurement import Measurement, Role
from peftcost.core.setup import Scalar, Setup, model_of
from peftcost.core.statistics import NonInferiority, Replicates
from peftcost.cost.machines import why_it_cannot_fit
from peftcost.engine import sharing
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import (
    Died,
    Done,
    Failed,
    LastWord,
    Measured,
    Message,
    Predicted,
    Progress,
    Unmeasured,
    failure_of,
)
from peftcost.runner.executor import Executor
from peftcost.runner.observer import Observer
from peftcost.runner.runner import Runner
from peftcost.runner.slot import ASIDE, Slot
from peftcost.searcher import actions, decide
from peftcost.searcher.checkpoints import Checkpoints
from peftcost.searcher.estimates import ASIDE_KINDS, Estimates
from peftcost.searcher.evidence import Evidence
from peftcost.searcher.forecast import chance_of_better
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder
from peftcost.store.study import Study
from peftcost.tasks import Metric

SHARED = ("cuda",)
"""Kinds of devices on which several setups train over one pass of the base. CPUs gain nothing by it."""
MOST_INTERRUPTIONS = 1
"""How often a trial whose worker died is resumed within one session."""


class Controller(Runner):
    """Runs a search's trials on the devices."""

    def __init__(self, executor: Executor, journal: Journal, state: SearchState, observers: Iterable[Observer] = ()) -> None:
        super().__init__(executor, journal, state, observers)
        self.state = state
        self._interruptions: dict[int, int] = {}
        self._together: dict[Slot, list[int]] = {}
        """By slot, the trials of its job."""
        self._apart: set[Scalar] = set()
        """Bases over which no setups share a pass any more: it has failed."""
        self._estimates = Estimates(executor)

    def release(self) -> None:
        """End what runs (it can be resumed) and stop the bill."""
        for trial in self.state.running():
            self.executor.kill(trial.slot)
            self.record("interrupted", trial=trial.number, reason="stopped")
        super().release()

    def release_idle(self) -> None:
        """Stop the bill of the devices that have nothing to do, but never of all."""
        self.release_all_but({trial.slot for trial in self.state.running()})

    def search(self, run: SearchRun) -> str:
        """Spend the budget until `decide` says stop, and foresee what as much again would bring; returns why it stopped."""
        news = True
        try:
            while True:
                if news:
                    evidence = run.evidence.replicates(self.state, self.state.config.most_compared)
                    self.tidy_checkpoints(run)
                stop = self._start_what_is_decided(run, evidence)
                if stop is not None and not self.state.running():
                    self._foresee(run)
                    return stop
                news = False
                heard = sorted(self.listen(), key=lambda one: one[0] == ASIDE)  # what is over is not ended any more
                for slot, message in heard:
                    news |= self._on_estimate(run, message) if slot == ASIDE else self._on_message(run, slot, message)
                self._hold_to_budget(run)
        finally:
            self._estimates.forget()

    def _foresee(self, run: SearchRun) -> None:
        """Write down with which chance the same budget again finds something better, while there are checkpoints."""
        if self.state.explored.best(1):
            suggest, available = partial(run.proposals.suggest, self.state), self.state.limit_gpu_seconds
            self.record("foreseen", better_chance=chance_of_better(self.state, suggest, run.criterion.margin, available))

    def _start_what_is_decided(self, run: SearchRun, evidence: Replicates | None) -> str | None:
        """Give every free slot something to do, or release it; why the search is over, if it is."""
        for slot in self.executor.free():
            if self._resume_interrupted(run, slot):
                continue
            together: list[Trial] = []
            while True:
                starts, suggest, now = run.proposals.starts, partial(run.proposals.suggest, self.state), self.journal.clock()
                moment = decide.Moment(self.state, starts, suggest, evidence, run.criterion, now)
                action = decide.next_action(moment)
                if isinstance(action, actions.Skip):
                    needs = action.needs_gpu_seconds
                    self.record("skipped", method=action.arm, reason=f"needs {needs:.0f} gpu-s", needs_gpu_seconds=needs)
                    continue
                if isinstance(action, actions.Stop | actions.Wait):
                    break
                waiting, cost = [trial.setup for trial in together], self.state.cost
                if together and not sharing.can_join(waiting, action.setup, cost, self._memory_bytes(slot)):
                    break
                together.append(self._begin(run, slot, action))
                if not self._may_share(slot, action.setup):
                    break
            if together:
                self._start_worker(run, slot, together)
            elif isinstance(action, actions.Stop):
                return action.because
            else:
                self.release_idle()
                return None
        return None

    def _resume_interrupted(self, run: SearchRun, slot: Slot) -> bool:
        for trial in self.state.trials.values():
            if trial.status == "interrupted":
                self.record("resumed", trial=trial.number, **slot.as_facts())
                self._start_worker(run, slot, [trial])
                return True
        return False

    def _may_share(self, slot: Slot, setup: Setup) -> bool:
        kinds = [self.executor.devices[index].kind for index in slot.devices]
        has_failed = setup.hyperparameters.get("model") in self._apart
        return len(kinds) == 1 and kinds[0] in SHARED and not has_failed and sharing.unsupported_reason(setup) is None

    def _memory_bytes(self, slot: Slot) -> int:
        """What each of its devices has: each rank of a group holds a model of its own."""
        return min(self.executor.devices[index].memory_bytes for index in slot.devices)

    def _begin(self, run: SearchRun, slot: Slot, action: actions.Explore | actions.Confirm) -> Trial:
        """Write down that a trial begins on a slot."""
        setup = action.setup
        role: Role = "confirm" if isinstance(action, actions.Confirm) else "explore"
        seed, parent = (action.seed, None) if isinstance(action, actions.Confirm) else (run.seed, action.parent)
        parent_setup = None if parent is None else self.state.trials[parent].setup
        predicted = self.state.cost.predict(setup, parent_setup, self.state.dev_sample if role == "explore" else None)
        number = run.study.add(setup.method, setup.hyperparameters)
        run.study.describe(number, setup, seed, role, parent=parent)
        self.record(
            "started",
            trial=number,
            setup=setup.as_dict(),
            id=setup.id,
            lineage=setup.lineage,
            seed=seed,
            role=role,
            parent=parent,
            **slot.as_facts(),
            predicted=vars(predicted),
        )
        return self.state.trials[number]

    def _start_worker(self, run: SearchRun, slot: Slot, trials: list[Trial]) -> None:
        """Train these on a slot, over one pass of the base where they are several."""
        if not self.holds(slot):
            self.record_for(slot, "acquired", category="startup")
        jobs = [self._job_of(run, slot, trial) for trial in trials]
        self._together[slot] = [trial.number for trial in trials]
        if len(jobs) == 1:
            job, kind = jobs[0], self.executor.devices[slot.devices[0]].kind
            if job.estimate_step and kind in ASIDE_KINDS:
                job = replace(job, estimate_step=False)
                self._estimates.ask(trials[0].number, job)
            self.executor.start(slot, "train", job.as_dict())
        else:
            self.executor.start(slot, "train_pack", {"jobs": [job.as_dict() for job in jobs]})

    def _job_of(self, run: SearchRun, slot: Slot, trial: Trial) -> TrainJob:
        out = run.folder.trial(trial.setup.id, trial.seed)
        out.mkdir(parents=True, exist_ok=True)
        parent = None if trial.parent is None else self.state.trials[trial.parent]
        memory_bytes = self._memory_bytes(slot)
        return TrainJob(
            run.prepared_for(trial.setup),
            trial.setup,
            trial.seed,
            str(out),
            parent=None if parent is None else str(run.folder.trial(parent.setup.id, parent.seed) / "checkpoint"),
            dev_rows=self.state.dev_sample if trial.role == "explore" else None,
            memory_bytes=memory_bytes,
            estimate_step=self.state.cost.wants_estimate(trial.setup, memory_bytes),
            predicted_peak_bytes=trial.predicted.peak_bytes,
            whole=False,
            ranks=len(slot.devices),
        )

    def _on_message(self, run: SearchRun, slot: Slot, message: Message) -> bool:
        """Book what a worker said; True when there is a new measurement or failure."""
        together = [self.state.trials[number] for number in self._together[slot]]
        match message:
            case Progress():
                self.progressed(together[message.member].number, message)
            case Predicted():
                self.record("predicted", trial=together[0].number, peak_bytes=message.peak_bytes)
            case Done() if len(together) == 1:  # of several, each has been told already
                self._measured(run, together[0], message.result)
                return True
            case Measured():
                self._measured(run, together[message.member], message.result)
                return True
            case Unmeasured():
                self._failed(run, together[message.member], message, shared=True)
                return True
            case Failed() | Died():
                return self._ended(run, slot, message)
        return False

    def _on_estimate(self, run: SearchRun, message: Message) -> bool:
        """Book what was estimated aside; True where the training was ended for it, since it cannot fit."""
        found = self._estimates.heard(message) if isinstance(message, LastWord) else None
        if found is None or self.state.trials[found[0]].status != "running":
            return False  # it was faster, or no estimate can be made of such a model
        (number, job, peak_bytes), trial = found, self.state.trials[found[0]]
        self.record("predicted", trial=number, peak_bytes=peak_bytes)
        why_not = why_it_cannot_fit(peak_bytes, job.memory_bytes, self.executor.devices[trial.slot.devices[0]].kind)
        if why_not is None:
            return False
        self.executor.kill(trial.slot)
        self.record_for(trial.slot, "phase", category="idle")
        self._failed(run, trial, Failed(why_not, "memory"), shared=False)
        return True

    def _measured(self, run: SearchRun, trial: Trial, result: Mapping[str, Any]) -> None:
        error = run.evidence.reading_error(self.state, trial)
        measurement = Measurement(role=trial.role, quality_error=error, **result)
        self.record("measured", trial=trial.number, measurement=measurement.as_dict())
        run.study.tell(trial.number, measurement)

    def _failed(self, run: SearchRun, trial: Trial, message: Failed | Unmeasured | Died, shared: bool) -> None:
        infeasible = not isinstance(message, Died) and message.fault == "memory"
        self.record("failed", trial=trial.number, reason=failure_of(message), infeasible=infeasible, shared=shared)
        run.study.tell(trial.number, None)

    def _ended(self, run: SearchRun, slot: Slot, message: Failed | Died) -> bool:
        """A worker failed or died. Those that shared it, and a trial whose worker died, are tried once more, each alone."""
        running, any_failed = self.state.running_on(slot), False
        if len(running) > 1 and isinstance(message, Failed):
            self._apart |= {trial.setup.hyperparameters.get("model") for trial in running}
        for trial in running:
            again = isinstance(message, Died) or len(running) > 1
            if again and self._interruptions.get(trial.number, 0) < MOST_INTERRUPTIONS:
                self._interruptions[trial.number] = self._interruptions.get(trial.number, 0) + 1
                self.record("interrupted", trial=trial.number, reason=failure_of(message))
            else:
                self._failed(run, trial, message, shared=False)
                any_failed = True
        return any_failed

    def _hold_to_budget(self, run: SearchRun) -> None:
        """The budget is a contract: what would eat into the kept-back closing costs is ended."""
        if self.left_after(self.state.closing_seconds()) > 0:
            return
        for trial in self.state.running():
            self.executor.kill(trial.slot)
            self.record_for(trial.slot, "phase", category="idle")
            shared = any(self.state.trials[number].status == "measured" for number in self._together[trial.slot])
            reason = "stopped: the budget would not have lasted"
            self.record("failed", trial=trial.number, reason=reason, cut_off=True, shared=shared)
            run.study.tell(trial.number, None)

    def tidy_checkpoints(self, run: SearchRun) -> None:
        """Delete those that nothing will go on from, and those for which there is no room."""
        for number in run.checkpoints.tidy(self.state):
            self.record("forgotten", trial=number)


@dataclass
class SearchRun:
    """What a search works on. prepared: the folders of the data, by base. seed: of exploring."""

    folder: RunFolder
    study: Study
    proposals: Proposals
    evidence: Evidence
    prepared: Mapping[str, str]
    metric: Metric
    criterion: NonInferiority
    seed: int

    @cached_property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder)

    def prepared_for(self, setup: Setup) -> str:
        """The folder of the data as the setup's base reads it."""
        return self.prepared[model_of(setup.arm) or next(iter(self.prepared))]
