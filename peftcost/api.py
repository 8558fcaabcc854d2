"""The verbs as Python calls: `peftcost.search(task, budget="4gpu-h") -> Run`, `peftcost.resume(path)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcost.core.statistics import Standard
from peftcost.errors import UserError
from peftcost.recipe.recipe import load_recipe
from peftcost.recommend.policies import Recommendation, recommend
from peftcost.recommend.result import evidence_of
from peftcost.report.html import write_report
from peftcost.runner.observer import Observer
from peftcost.searcher.evidence import evidence_in
from peftcost.searcher.question import ask, checked_confidence
from peftcost.searcher.state import SearchState
from peftcost.session.search import begin, go_on
from peftcost.store.journal import Journal
from peftcost.store.run_folder import RunFolder, open_run_folder
from peftcost.task.task import Task, load_task
from peftcost.tasks import get_task_type

__all__ = ["Run", "load_recipe", "load_task", "resume", "search"]


@dataclass(frozen=True)
class Run:
    """A run. Everything is read from its folder."""

    folder: RunFolder

    @property
    def result(self) -> dict[str, Any]:
        """result.json."""
        return self.folder.read_result()

    @property
    def front(self) -> list[dict[str, Any]]:
        """The best trade-offs: those of result.json's setups that no other beats on quality, cost and memory."""
        result = self.result
        return [entry for entry in result["setups"] if entry["id"] in result["front"]]

    def recommend(self, policy: str = "non-inferior", confidence: float | None = None, **constraints: Any) -> Recommendation:
        """Another question to the same evidence; trains nothing. confidence: the run's own, if not given.

        constraints: min_quality, max_memory_bytes, max_gpu_seconds.
        """
        result = self.result
        state = SearchState()
        state.apply_all(Journal(self.folder.journal_file).events)
        metric = get_task_type(result["task"]["task"]).metrics[result["task"]["metric"]]
        found = evidence_in(self.folder, metric, result["task"]["seed"]).replicates(state)
        if found is None:
            raise UserError(f"{self.folder.path} has no measured setup to recommend from.")
        n_dev, advised = result["task"]["rows"]["dev"], result["recommendation"] or {}
        confidence = advised.get("confidence") if confidence is None else confidence
        standard = Standard(result["task"]["margin"], checked_confidence(confidence, state.config))
        return recommend(evidence_of(result["setups"]), found, standard, policy, n_dev, **constraints)

    def report(self) -> dict[str, Path]:
        """Write report.html, report.md and front.png; their paths."""
        return write_report(self.folder.path)


def search(
    task: Task | str | Path,
    budget: str,
    *,
    methods: Sequence[str] | None = None,
    seed: int = 0,
    devices: str | None = None,
    price: float | None = None,
    out: Path | str | None = None,
    warm_start: Sequence[Path | str] = (),
    confidence: float | None = None,
    observers: Sequence[Observer] = (),
    command: str = "peftcost.search",
) -> Run:
    """Find the cheapest setup that is as good as the best one, within the budget.

    budget: "4gpu-h", "30gpu-min", "90gpu-s", "2h", "10usd" (with price per GPU-hour), or several with commas between. out:
    the run's folder, made here (default runs/NAME). warm_start: folders of earlier runs, or recipes, of similar tasks.
    confidence: with which a cheaper setup has to be shown to be as good, 0.95 if not given.
    observers: told what happens; one that fails is left out.
    """
    question = ask(task, methods, seed, devices, command, confidence)
    return Run(open_run_folder(begin(question, budget, price, out, warm_start, observers)))


def resume(
    path: Path | str,
    budget: str | None = None,
    *,
    price: float | None = None,
    observers: Sequence[Observer] = (),
) -> Run:
    """Go on with a run that was interrupted; with budget="+1gpu-h", go on further with a finished one."""
    go_on(Path(path), budget, price, observers)
    return Run(open_run_folder(Path(path)))
