"""A run, as Python callers hold it: everything is read from its folder."""

from __future__ import annotations

from html import escape
from pathlib import Path

from peftcost.core.statistics import NonInferiority
from peftcost.errors import UserError
from peftcost.recommend.advise import recommend_of
from peftcost.recommend.policies import Recommendation
from peftcost.recommend.schema import Result, SetupResult
from peftcost.report.examples import Shown
from peftcost.report.html import notebook_html, write_report
from peftcost.searcher.evidence import evidence_in
from peftcost.searcher.spec import checked_confidence
from peftcost.searcher.state import SearchState
from peftcost.session.attributions import attribute_hardest
from peftcost.store.journal import opened_of, read_events
from peftcost.store.run_folder import open_run_folder
from peftcost.tasks import get_task_type
from peftcost.tasks.named_metric import metric_of


class Run:
    """A finished or interrupted run.

    Attributes:
        folder: Where its files lie (`folder.path`, `folder.recipe_file`, …).
    """

    def __init__(self, path: Path | str) -> None:
        """Open a run's folder.

        Args:
            path: The folder, as in "runs/tweets".

        Raises:
            UserError: When that is no run's folder.
        """
        self.folder = open_run_folder(Path(path))

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        if self.folder.result_file.exists():
            return notebook_html(self.folder.read_result(), str(self.folder.path))
        return f"<p>{escape(repr(self))} is not finished; <code>peftcost.resume</code> goes on with it.</p>"

    @property
    def finished(self) -> bool:
        """Whether nothing of the run is left to do; if not, `peftcost.resume` goes on."""
        return self._state().phase == "finished"

    @property
    def result(self) -> Result:
        """The whole of result.json. UserError when the run has not got that far."""
        return Result.model_validate(self.folder.read_result())

    @property
    def front(self) -> list[SetupResult]:
        """The best trade-offs: the setups that no other beats on quality, cost and memory at once."""
        result = self.result
        return [result.setup(setup_id) for setup_id in result.front]

    def recommend(
        self,
        policy: str = "non-inferior",
        *,
        confidence: float | None = None,
        min_quality: float | None = None,
        max_memory_bytes: float | None = None,
        max_gpu_seconds: float | None = None,
        setup: str | None = None,
    ) -> Recommendation:
        """Put another question to the same evidence; nothing is trained.

        Args:
            policy: "non-inferior" (the cheapest that is shown to be as good as the best), "best-quality", "knee", "cheapest"
                or "lowest-memory".
            confidence: With which a cheaper setup has to be shown to be as good. Default: the run's own.
            min_quality: The least quality on dev, in the task's metric.
            max_memory_bytes: The most memory of a training's tensors, in bytes.
            max_gpu_seconds: The most device time of a training, in seconds.
            setup: The id of the setup that you have chosen yourself, as in "lora-51711709bb"; it is held against all others.

        Returns:
            A setup, with its evidence.

        Raises:
            UserError: When no measured setup meets the constraints (the nearest is named), or the policy is unknown.
        """
        result, state = self.result, self._state()
        task = result.task
        metric = metric_of(get_task_type(task.task), task.metric, task.metric_options)
        found = evidence_in(self.folder, metric, task.seed).replicates(state)
        if found is None:
            raise UserError(f"{self.folder.path} has no measured setup to recommend from.")
        if setup is not None and not any(e.id == setup and e.status == "measured" for e in result.setups):
            raise UserError(f"{self.folder.path} has no measured setup {setup!r}; report.html lists them all.")
        if confidence is None and result.recommendation is not None:
            confidence = result.recommendation.confidence
        return recommend_of(
            state,
            result.setups,
            found,
            NonInferiority(task.margin, checked_confidence(confidence, state.config)),
            task.rows.dev,
            policy,
            min_quality=min_quality,
            max_memory_bytes=max_memory_bytes,
            max_gpu_seconds=max_gpu_seconds,
            named=setup,
        )

    def report(self, *, examples: bool | None = None, by: str | None = None, attributions: bool = False) -> dict[str, Path]:
        """Write report.html, report.md and front.png into the run's folder.

        Args:
            examples: Show the dev examples that are hardest for the recommended setup. Default: as the search was told.
            by: A column of the data, by whose values the quality on dev is told, too.
            attributions: Mark the tokens of these examples that decide what the model says: integrated gradients, by Captum
                (`pip install captum`), in a process of its own. For text classification.

        Returns:
            Their paths, by kind (html, md, png).

        Raises:
            UserError: When the run is not finished, or the data have no such column; without Captum or a model to attribute.
        """
        if attributions and examples is False:
            raise UserError("--attributions marks the examples that --no-examples leaves out; give one of the two.")
        if attributions:
            attribute_hardest(self.folder)
        if examples is None:
            examples = opened_of(list(read_events(self.folder.journal_file))).get("examples", True)
        return write_report(self.folder.path, Shown(examples, by))

    def _state(self) -> SearchState:
        state = SearchState()
        state.apply_all(list(read_events(self.folder.journal_file)))
        return state
