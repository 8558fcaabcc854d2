"""A run as another process sees it: the same fold over the journal, the same progress as the search's own view."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from peftcost.engine.messages import Progress
from peftcost.observers.progress import NOT_YET, ProgressState, SearchProgress
from peftcost.searcher.state import SearchState
from peftcost.searcher.trial import Trial
from peftcost.store.journal import Event
from peftcost.store.learning_curve import curve_file, read_lines
from peftcost.store.run_folder import RunFolder
from peftcost.store.tail import Tail

SILENCE = timedelta(seconds=60)
"""A search writes a heartbeat every few seconds. After so long without any, nobody works on it."""


class Follower(SearchProgress):
    """Call `look` as often as you like."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.folder, self.state = folder, SearchState()
        self.events: list[Event] = []
        self._tail = Tail(folder.journal_file)

    def look(self) -> ProgressState:
        """How far the search is now."""
        for event in self._tail.new_events():
            self.events.append(event)
            self.state.apply(event)
            self.take_in(event, self.state)
        heard = {trial.number: self._heard_of(trial) for trial in self.state.running()}
        return self.progress(self.state, heard)

    @property
    def is_finished(self) -> bool:
        return self.state.phase == "finished"

    def is_alive(self, now: datetime | None = None) -> bool:
        """Whether a process still writes the journal."""
        if self.is_finished or not self.events:
            return False
        last = datetime.fromisoformat(self.events[-1]["utc"])
        return (now or datetime.now(UTC)) - last < SILENCE

    def _heard_of(self, trial: Trial) -> Progress:
        """From the learning curve, as far as it is written."""
        lines = read_lines(curve_file(self.folder, trial.setup.id, trial.seed))
        losses = [line for line in lines if "train_loss" in line]
        if not losses:
            return NOT_YET
        return Progress(losses[-1]["step"], lines[0]["total_steps"], losses[-1]["train_loss"])
