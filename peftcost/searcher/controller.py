"""The controller: decides (through `decide`), starts workers, books time, and is the only writer of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from peftcost.core.measurement import Measurement, Role
from peftcost.core.setup import Setup
from peftcost.core.statistics import Replicates, Standard
from peftcost.engine import sharing
from peftcost.engine.job import TrainJob
from peftcost.errors import PeftcostError, SurroundingsError, UserError
from peftcost.searcher import actions, decide
from peftcost.searcher.checkpoints import Checkpoints
from peftcost.searcher.evidence import Evidence
from peftcost.searcher.executor import ASIDE, LAST_WORDS, Executor
from peftcost.searcher.explore import Bets
from peftcost.searcher.packing_plan import Waiting, can_join
from peftcost.searcher.proposals import Proposals
from peftcost.searcher.state import SearchState, Trial
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder
from peftcost.store.study import Study
from peftcost.tasks import Metric

MOMENT_SECONDS = 0.25
HEARTBEAT_SECONDS = 2.0
ENDING_SECONDS = 1.5
"""Per device: what passes between seeing that the budget is at its end and having released the devices."""
SHARED = ("cuda",)
"""Kinds of devices on which several setups train over one pass of the base. CPUs gain nothing by it."""
MOST_INTERRUPTIONS = 1
"""How often a trial whose worker died is taken up again within one session."""


class BudgetSpent(UserError):
    """The budget was used up while jobs ran that have to be run."""


class Controller:
    """Runs jobs on the devices and keeps the books. The journal may still be in memory; the folder comes later."""

    def __init__(
        self,
        executor: Executor,
        journal: Journal,
        state: SearchState,
        on_change: Callable[[SearchState], None] = lambda state: None,
    ) -> None:
        self.executor, self.journal, self.state, self.on_change = executor, journal, state, on_change
        self._heartbeat_at = 0.0
        self._interruptions: dict[int, int] = {}
        self._together: dict[int, list[int]] = {}
        """By device, the trials of its job."""

    # -- bookkeeping -----------------------------------------------------------------------------------------------

    def record(self, name: str, monotonic: float | None = None, **facts: Any) -> None:
        """Write an event and take it in."""
        self.state.apply(self.journal.write(name, monotonic, **facts))

    def acquire(self) -> None:
        """When all workers have imported: from here on the devices' time is on the bill."""
        while len(self.executor.free()) < len(self.executor.devices):
            self._listen()
        for index in range(len(self.executor.devices)):
            self.record("acquired", device=index, category="startup")

    def release(self) -> None:
        """End what runs (it can be taken up again) and stop the bill."""
        for index in range(len(self.executor.devices)):
            self.executor.kill(index)
        for trial in self.state.running():
            self.record("interrupted", trial=trial.number, reason="stopped")
        for index in sorted(self.state.held):
            self.record("released", device=index)

    def release_idle(self) -> None:
        """Stop the bill of the devices that have nothing to do, but never of all. Their workers are ended: what keeps a
        GPU's memory has not given it back."""
        busy = {trial.device for trial in self.state.running()} or {min(self.state.held)}
        for index in sorted(self.state.held - busy):
            self.executor.kill(index)
            self.record("released", device=index)

    def spent(self) -> float:
        return self.state.ledger.spent(self.journal.clock())

    def left_after(self, closing_seconds: float) -> float:
        return self.state.left_after(closing_seconds, self.journal.clock())

    # -- single jobs -----------------------------------------------------------------------------------------------

    def run_all(self, kind: str, payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Run jobs of one kind on the devices that are held; the last message of each, in order. They hold to the budget."""
        waiting = list(enumerate(payloads))
        running: dict[int, int] = {}
        last: dict[int, dict[str, Any]] = {}
        while waiting or running:
            for index in self.executor.free():
                if waiting and index in self.state.held:
                    job, payload = waiting.pop(0)
                    self.executor.start(index, kind, payload)
                    running[index] = job
            for index, message in self._listen():
                if message["type"] in LAST_WORDS:
                    last[running.pop(index)] = message
            if self.left_after(0.0) <= ENDING_SECONDS * len(self.state.held):
                for index in running:
                    self.executor.kill(index)
                raise BudgetSpent(
                    f"The budget of {self.state.limit_gpu_seconds:.0f} gpu-s was used up while the {kind} jobs ran; "
                    "`peftcost search` without --budget says how much this task needs."
                )
        return [last[job] for job in range(len(payloads))]

    def run_one(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The result of one job that has to work."""
        (message,) = self.run_all(kind, [payload])
        return result_of(kind, message, self.executor.log)

    def run_aside(self, kind: str, payload: dict[str, Any], seconds: float = math.inf) -> dict[str, Any]:
        """The last message of a job that needs no device and is on no bill. It is ended after so many seconds."""
        self.executor.start(ASIDE, kind, payload)
        end = self.journal.monotonic() + seconds
        while self.journal.monotonic() < end:
            for index, message in self._listen():
                if index == ASIDE and message["type"] in LAST_WORDS:
                    return message
        self.executor.kill(ASIDE)
        return {"type": "failed", "reason": f"it was ended after {seconds:.0f} s", "fault": "setup"}

    def _listen(self) -> list[tuple[int, dict[str, Any]]]:
        """Messages of the next moment; phases of the devices are booked here."""
        heard = []
        timeout = min(self.executor.patience_seconds, max(MOMENT_SECONDS, self._seconds_left()))
        for index, message in self.executor.poll(timeout):
            if message["type"] != "phase":
                heard.append((index, message))
            elif index != ASIDE:
                self.record("phase", message["t"], device=index, category=message["category"])
            if message["type"] in LAST_WORDS and index != ASIDE:
                self.record("phase", device=index, category="idle")
        now = self.journal.monotonic()
        if now - self._heartbeat_at > HEARTBEAT_SECONDS:
            self._heartbeat_at = now
            self.record("heartbeat")
        self.on_change(self.state)
        return heard

    def _seconds_left(self) -> float:
        """On the clock, until the devices that are held have used the budget up to what closing takes."""
        left = self.left_after(self.state.cost.closing_seconds())
        return max(0.0, left / max(1, len(self.state.held)))

    # -- the search ------------------------------------------------------------------------------------------------

    def search(self, run: SearchRun) -> str:
        """Spend the budget until `decide` says stop; returns why."""
        evidence = run.evidence.replicates(self.state, self.state.config.most_compared)
        while True:
            stop = self._start_what_is_decided(run, evidence)
            if stop is not None and not self.state.running():
                return stop
            news = False
            for index, message in self._listen():
                news |= self._on_message(run, index, message)
            if news:
                evidence = run.evidence.replicates(self.state, self.state.config.most_compared)
                self.tidy_checkpoints(run)
            self._hold_to_budget()

    def _start_what_is_decided(self, run: SearchRun, evidence: Replicates | None) -> str | None:
        """Give every free device something to do, or release it; why the search is over, if it is."""
        for index in self.executor.free():
            if self._take_up_interrupted(run, index):
                continue
            together: list[Trial] = []
            while True:
                ideas = partial(run.proposals.ideas, self.state)
                action = decide.next_action(self.state, run.bets, ideas, evidence, run.standard, self.journal.clock())
                if isinstance(action, actions.Skip):
                    self.record("skipped", method=action.arm, reason=f"needs {action.needs_gpu_seconds:.0f} gpu-s")
                    continue
                if isinstance(action, actions.Stop | actions.Wait):
                    break
                setup = self._setup_of(action)
                if together and not self._can_join(together, setup):
                    break
                together.append(self._begin(run, index, action, setup))
                if not self._may_share(index, setup):
                    break
            if together:
                self._start_worker(run, index, together)
            elif isinstance(action, actions.Stop):
                return action.because
            else:
                self.release_idle()
                return None
        return None

    def _take_up_interrupted(self, run: SearchRun, index: int) -> bool:
        for trial in self.state.trials.values():
            if trial.status == "interrupted":
                self.record("taken_up", trial=trial.number, device=index)
                self._start_worker(run, index, [trial])
                return True
        return False

    def _setup_of(self, action: actions.Start) -> Setup:
        if isinstance(action, actions.Promote):
            return self.state.trials[action.trial].setup.until(action.stop_examples)
        return action.setup

    def _may_share(self, index: int, setup: Setup) -> bool:
        return self.executor.devices[index].kind in SHARED and sharing.obstacle(setup) is None

    def _can_join(self, together: list[Trial], setup: Setup) -> bool:
        """Whether the setup can train over one pass of the base with these, which wait for their device."""
        cost, device = self.state.cost, self.executor.devices[together[0].device]
        waiting = [Waiting(s, cost.predict(s).peak_bytes, cost.base_bytes(s)) for s in (*(t.setup for t in together), setup)]
        return can_join(waiting[:-1], waiting[-1], device.memory_bytes)

    def _begin(self, run: SearchRun, index: int, action: actions.Start, setup: Setup) -> Trial:
        """Write down that a trial begins on a device."""
        parent: Trial | None = None
        role: Role = "explore"
        seed = run.seed
        if isinstance(action, actions.Promote):
            before = self.state.trials[action.trial]
            seed, parent = before.seed, before if before.has_checkpoint else None
        elif isinstance(action, actions.Confirm):
            seed, role = action.seed, "confirm"
        dev_rows = self.state.dev_sample if role == "explore" else None
        predicted = self.state.cost.predict(setup, None if parent is None else parent.setup, dev_rows)
        number = run.study.add(setup.method, setup.hyperparameters)
        run.study.describe(number, setup, seed, role, parent=None if parent is None else parent.number)
        self.record(
            "started",
            trial=number,
            setup=setup.as_dict(),
            id=setup.id,
            lineage=setup.lineage,
            seed=seed,
            role=role,
            parent=None if parent is None else parent.number,
            device=index,
            predicted=vars(predicted),
        )
        return self.state.trials[number]

    def _start_worker(self, run: SearchRun, index: int, trials: list[Trial]) -> None:
        """Train these on a device, over one pass of the base where they are several."""
        if index not in self.state.held:
            self.record("acquired", device=index, category="startup")
        jobs = [self._job_of(run, index, trial) for trial in trials]
        self._together[index] = [trial.number for trial in trials]
        if len(jobs) == 1:
            self.executor.start(index, "train", jobs[0].as_dict())
        else:
            self.executor.start(index, "train_pack", {"jobs": [job.as_dict() for job in jobs]})

    def _job_of(self, run: SearchRun, index: int, trial: Trial) -> TrainJob:
        out = run.folder.trial(trial.setup.id, trial.seed)
        out.mkdir(parents=True, exist_ok=True)
        parent = None if trial.parent is None else self.state.trials[trial.parent]
        memory_bytes = self.executor.devices[index].memory_bytes
        return TrainJob(
            run.prepared_for(trial.setup),
            trial.setup,
            trial.seed,
            str(out),
            parent=None if parent is None else str(run.folder.trial(parent.setup.id, parent.seed) / "checkpoint"),
            dev_rows=self.state.dev_sample if trial.role == "explore" else None,
            memory_bytes=memory_bytes,
            rehearse=self.state.cost.wants_rehearsal(trial.setup, memory_bytes),
            predicted_peak_bytes=trial.predicted.peak_bytes,
        )

    def _on_message(self, run: SearchRun, index: int, message: dict[str, Any]) -> bool:
        """Book what a worker said; True when there is a new measurement or failure."""
        together = [self.state.trials[number] for number in self._together[index]]
        match message["type"]:
            case "progress":
                for trial in self.state.running_on(index):
                    trial.step, trial.total_steps = message["step"], message["total_steps"]
                    trial.train_loss = message["train_loss"]
                return False
            case "predicted":
                self.record("predicted", trial=together[0].number, peak_bytes=message["peak_bytes"])
                return False
            case "done" if len(together) > 1:
                return False  # each has been told already
            case "done":
                self._measured(run, together[0], message["result"])
            case "measured":
                self._measured(run, together[message["member"]], message["result"])
            case "unmeasured":
                self._failed(run, together[message["member"]], message, shared=True)
            case _:
                return self._ended(run, index, message)
        return True

    def _measured(self, run: SearchRun, trial: Trial, result: Mapping[str, Any]) -> None:
        measurement = Measurement(role=trial.role, **result)
        self.record("measured", trial=trial.number, measurement=measurement.as_dict())
        run.study.tell(trial.number, measurement)

    def _failed(self, run: SearchRun, trial: Trial, message: dict[str, Any], shared: bool) -> None:
        infeasible = message.get("fault") == "memory"
        self.record("failed", trial=trial.number, reason=failure_of(message), infeasible=infeasible, shared=shared)
        run.study.tell(trial.number, None)

    def _ended(self, run: SearchRun, index: int, message: dict[str, Any]) -> bool:
        """A worker failed or died. Those that shared it, and a trial whose worker died, are tried once more, each alone."""
        running, any_failed = self.state.running_on(index), False
        for trial in running:
            again = message["type"] == "died" or len(running) > 1
            if again and self._interruptions.get(trial.number, 0) < MOST_INTERRUPTIONS:
                self._interruptions[trial.number] = self._interruptions.get(trial.number, 0) + 1
                self.record("interrupted", trial=trial.number, reason=failure_of(message))
            else:
                self._failed(run, trial, message, shared=False)
                any_failed = True
        return any_failed

    def _hold_to_budget(self) -> None:
        """The budget is a contract: what would eat into the kept-back closing costs is ended."""
        if self.left_after(self.state.cost.closing_seconds()) > 0:
            return
        for trial in self.state.running():
            self.executor.kill(trial.device)
            self.record("phase", device=trial.device, category="idle")
            self.record("failed", trial=trial.number, reason="stopped: the budget would not have lasted", cut_off=True)

    def tidy_checkpoints(self, run: SearchRun) -> None:
        """Delete those that nothing will go on from, and those for which there is no room."""
        for number in run.checkpoints.tidy(self.state):
            self.record("forgotten", trial=number)


class SearchRun:
    """What a search works on: folder, study, prepared data by base, and each arm's best bets."""

    def __init__(
        self,
        folder: RunFolder,
        study: Study,
        proposals: Proposals,
        evidence: Evidence,
        prepared: Mapping[str, str],
        bets: Bets,
        metric: Metric,
        standard: Standard,
        seed: int,
    ) -> None:
        self.folder, self.study, self.prepared, self.bets = folder, study, prepared, bets
        self.proposals, self.evidence = proposals, evidence
        self.metric, self.standard, self.seed = metric, standard, seed
        self.checkpoints = Checkpoints(folder)

    def prepared_for(self, setup: Setup) -> str:
        """The folder of the data as the setup's base reads it."""
        model = setup.hyperparameters.get("model")
        return self.prepared[str(model)] if model is not None else next(iter(self.prepared.values()))


def result_of(kind: str, message: dict[str, Any], log: Path) -> dict[str, Any]:
    """The result of a job's last message, or the error that it is."""
    if message["type"] == "done":
        return message["result"]
    if message["type"] == "died":
        raise SurroundingsError(f"The {kind} worker {died(message)}; see {log}.")
    error = UserError if message["fault"] == "user" else PeftcostError
    raise error(f"{kind}: {message['reason']} (see {log})" if error is PeftcostError else message["reason"])


def failure_of(message: dict[str, Any]) -> str:
    """Why a worker gave no result."""
    return str(message["reason"]) if message["type"] == "failed" else f"its worker {died(message)}"


def died(message: dict[str, Any]) -> str:
    """How a worker ended that said nothing any more."""
    code = message["exitcode"]
    if code is not None and code < 0:
        hint = " (perhaps out of memory)" if code == -9 else ""
        return f"was killed by signal {-code}{hint}"
    return f"ended with exit code {code}"
