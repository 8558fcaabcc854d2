"""The fields of result.json, schema_version 1. Scripts rely on them: fields may be added, none is renamed or removed.

A field that is added later has a default, so that the results of earlier versions can still be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from peftcost.core.measurement import Measurement
from peftcost.core.setup import Scalar
from peftcost.core.setup_words import setup_words
from peftcost.recommend.policies import Recommendation

Interval = tuple[float, float]


class Part(BaseModel):
    """A part of a result. It cannot be changed, and fields that this version does not know are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Rows(Part):
    """Rows of each split."""

    train: int
    dev: int
    test: int


class TaskFacts(Part):
    """What was learnt: the fields of task.yaml, with what was inferred."""

    model: str | list[str] = Field(description="The base, or the bases.")
    data: str | dict[str, str | None] = Field(description="A file, or one for each split.")
    task: str = Field(description="The task type.")
    columns: dict[str, str | list[str]] = Field(description="The column of each role; several where they are read as one.")
    metric: str
    metric_options: dict[str, Any] | None = Field(default=None, description="What task.yaml says of it beside its name.")
    margin: float = Field(description="Quality that one would give up for a cheaper setup.")
    seed: int = Field(description="Of the split and of the search.")
    targets: str = Field(default="", description="What is known of them: the classes, or their range.")
    classes: list[str] = Field(default=[], description="Their names in the order of their ids; none where there are none.")
    fingerprints: dict[str, str] = Field(description="SHA-256 of the data and of the model's weights.")
    rows: Rows


class DeviceFacts(Part):
    """What it ran on."""

    kind: str = Field(description="cpu, cuda or mps.")
    name: str
    count: int
    threads: int


class BudgetFacts(Part):
    """What might be spent, and what was. All in seconds of one device."""

    limit_gpu_seconds: float
    spent_gpu_seconds: float
    stopped_because: str | None


class Predicted(Part):
    """What was predicted of a setup before its training."""

    gpu_seconds: float
    peak_bytes: int


class SetupResult(Part):
    """A setup that was tried, or a method of which nothing was started. Figures are means over seeds; None: not measured."""

    id: str | None = Field(description="A hash of method, hyperparameters and length.")
    method: str
    hyperparameters: dict[str, Scalar]
    stop_examples: int | None = Field(description="The training length in examples.")
    lineage: str | None = Field(description="The training run that this setup is a stop of.")
    status: Literal["measured", "failed", "infeasible", "skipped"]
    reason: str | None = Field(description="Why it was not measured.")
    measurements: list[Measurement] = Field(description="One a seed.")
    quality: float | None = Field(
        description="What the metric on all of dev is expected to be, all readings taken together; higher is better."
    )
    quality_interval: Interval | None = Field(description="95 %, about this quality.")
    reading: float | None = Field(default=None, description="What was read, on a sample of dev perhaps; a mean over seeds.")
    gpu_seconds: float | None = Field(description="The cost of this training alone, from its start.")
    peak_bytes: int | None = Field(description="The peak of live tensors.")
    process_peak_bytes: int | None = Field(default=None, description="The peak that the system or the driver saw.")
    latency_seconds: float | None = Field(description="The time to predict one example.")
    artifact_bytes: int | None = Field(description="The size of what is saved.")
    trainable_parameters: int | None
    total_parameters: int | None
    predicted: Predicted | None

    @property
    def words(self) -> str:
        """The choices in few words, as in "lora r=8, lr 5e-4, 4,000 examples"."""
        return setup_words(self.method, self.hyperparameters, self.stop_examples)


class MoreBudget(Part):
    """What the same budget again would bring to the recommendation."""

    gpu_seconds: float
    chance: float = Field(description="That the recommendation changes for the better.")
    quality_gain: float
    cost_share: float = Field(description="The new recommendation's cost as a share of the present one's.")


class MoreRows(Part):
    """What as many training rows again would bring to the recommended setup."""

    train_rows: list[int] = Field(description="Parts of the rows that it was trained on, each for as many epochs; then all.")
    qualities: list[float] = Field(description="On dev, of each.")
    gain: float = Field(description="In quality, of twice the rows.")
    gain_interval: Interval = Field(description="95 %.")


@dataclass(frozen=True)
class Recommended(Recommendation):
    """The setup that a run recommends, with its evidence."""

    twice_the_budget: MoreBudget | None = None
    twice_the_rows: MoreRows | None = None


class TestQuality(Part):
    """A model on the test split. title: a baseline's name."""

    quality: float
    quality_interval: Interval
    n: int = Field(description="Rows.")
    title: str | None = None


class Written(Part):
    """What models wrote on a part of the test split, scored against what would be right. Of each model the scores by name."""

    rows: int = Field(description="Of the test split, a stratified sample or all.")
    new_tokens: int = Field(description="The most that were written for a row.")
    recommended: dict[str, TestQuality] | None = None
    untuned: dict[str, TestQuality] | None = None


class Result(Part):
    """The machine-readable result of a run: all that its report shows."""

    schema_version: Literal[1] = 1
    task: TaskFacts
    devices: DeviceFacts
    budget: BudgetFacts
    ledger: dict[str, float] = Field(description="Seconds by category; they sum to budget.spent_gpu_seconds.")
    setups: list[SetupResult]
    front: list[str] = Field(description="The ids of the setups with the best trade-offs.")
    recommendation: Recommended | None
    test: dict[str, TestQuality | None] | None = Field(description="recommended, best, untuned, and the baselines.")
    written: Written | None = Field(default=None, description="Of tasks whose answers are texts.")
    warnings: list[str]
    versions: dict[str, str]
    command: str | None
    started: str = Field(description="UTC, ISO 8601.")
    ended: str = Field(description="UTC, ISO 8601.")

    def setup(self, setup_id: str) -> SetupResult:
        """The setup with this id. KeyError if there is none."""
        for found in self.setups:
            if found.id == setup_id:
                return found
        raise KeyError(setup_id)


def json_schema() -> dict[str, Any]:
    """The JSON schema of result.json."""
    return Result.model_json_schema(mode="serialization")
