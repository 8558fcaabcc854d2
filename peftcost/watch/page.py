"""The report of a run as a page that keeps up with it."""

from __future__ import annotations

import json
import math
import threading

from markupsafe import Markup

from peftcost.core.budget import format_seconds
from peftcost.observers.progress import ProgressState
from peftcost.recommend.result import build_result, setup_entries
from peftcost.report.html import html_text
from peftcost.report.view import view_of
from peftcost.searcher.evidence import Evidence, evidence_in
from peftcost.store.journal import opened_of
from peftcost.store.run_folder import RunFolder
from peftcost.tasks import get_task_type
from peftcost.tasks.named_metric import metric_of
from peftcost.watch.follower import Follower

REFRESH_SECONDS = 10
EMPTY = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>peftcost</title>
</head>
<body>
</body>
</html>
"""


class LivePage:
    """Computes the report anew only when something was measured: it must not take the search's processor."""

    def __init__(self, folder: RunFolder) -> None:
        self.follower = Follower(folder)
        self._evidence: Evidence | None = None
        self._made_at, self._report = -1, EMPTY
        self._lock = threading.Lock()

    def html(self) -> str:
        """The report as it is: the final one of a finished run, else with what is going on above it."""
        with self._lock:
            progress = self.follower.look()
            final = self.follower.folder.path / "report.html"
            if self.follower.is_finished and final.exists():
                return final.read_text(encoding="utf-8")
            if progress.measured + progress.failed != self._made_at:
                self._report, self._made_at = self._provisional(), progress.measured + progress.failed
            return with_status(self._report, progress, self.follower.is_alive())

    def _provisional(self) -> str:
        """The report of what has been measured so far, without advice."""
        state, events = self.follower.state, self.follower.events
        if not state.trials or (task := opened_of(events).get("task")) is None:  # a run of an earlier version
            return EMPTY
        if self._evidence is None:
            metric = metric_of(get_task_type(task["task"]), task["metric"], task.get("metric_options"))
            self._evidence = evidence_in(self.follower.folder, metric, task["seed"])
        entries = setup_entries(state, self._evidence.replicates(state))
        result = build_result(events, state, task, entries, None, None, None)
        facts = json.loads(result.model_dump_json())
        return html_text(view_of(facts, str(self.follower.folder.path)), facts, self.follower.folder.path)


def with_status(report: str, progress: ProgressState, alive: bool) -> str:
    """The page with what is going on at its head; it loads itself again."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n</head>'
    return report.replace("</head>", refresh, 1).replace("<body>", f"<body>\n{status(progress, alive)}", 1)


def status(progress: ProgressState, alive: bool) -> Markup:
    """Phase, budget, and what runs. Every text is escaped."""
    spent = f"{format_seconds(progress.spent_gpu_seconds)} spent"
    if not math.isinf(progress.limit_gpu_seconds):
        spent += f" of {format_seconds(progress.limit_gpu_seconds)}"
    words = progress.phase if alive else f"{progress.phase}; no process works on it now"
    lines = [f"{words}: {progress.measured} measured, {progress.failed} failed; {spent}"]
    for trial in progress.running:
        loss = "" if math.isnan(trial.train_loss) else f", loss {trial.train_loss:.3f}"
        steps = f" {trial.step}/{trial.total_steps}" if trial.total_steps else ""
        lines.append(f"device {trial.device}: {trial.words}, {trial.role}, seed {trial.seed}, {trial.phase}{steps}{loss}")
    lines += (line.text for line in progress.log[-3:])
    items = Markup("\n").join(Markup("<li>{}</li>").format(line) for line in lines)
    return Markup('<section id="status" aria-label="What is going on"><ul>\n{}\n</ul></section>').format(items)
