"""recipe.yaml: a recommendation made repeatable."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from peftcost.core.measurement import Measurement, reading_error, reading_scale
from peftcost.core.seed_noise import pooled_deviation
from peftcost.core.setup import LARGEST_SEED, Setup
from peftcost.core.statistics import prediction_interval
from peftcost.data.yaml_file import problems_of, read_yaml
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.recipe.choices import check_choices
from peftcost.recommend.policies import Recommendation
from peftcost.recommend.schema import Result
from peftcost.task.task import Task, absolute_paths
from peftcost.tasks import get_task_type
from peftcost.tasks.named_metric import metric_of

SCHEMA_VERSION = 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
PROMISE_SEEDS = 3
"""Fewer say too little of how far seeds differ."""
MOST_EPOCHS, MOST_EXAMPLES = 1e6, 10**12
"""Far above what is ever trained: more is a slip of the pen, which would train forever."""


def in_order(ends: tuple[float, float]) -> tuple[float, float]:
    """ValueError for an interval that begins above its end."""
    if ends[0] > ends[1]:
        raise ValueError(f"{list(ends)} begins above its end; write the lower number first")
    return ends


Ends = Annotated[tuple[float, float], AfterValidator(in_order)]


class SetupFields(BaseModel):
    """A setup as it stands in a recipe or a suite."""

    model_config = ConfigDict(extra="forbid")
    method: str
    hyperparameters: dict[str, str | int | float | bool | None] = {}
    stop_examples: int = Field(ge=1, le=MOST_EXAMPLES)

    def to_setup(self) -> Setup:
        """Choices that are left out take the method's priors and the training defaults."""
        return Setup.of(self.method, {**get_method(self.method).prior(), **self.hyperparameters}, self.stop_examples)


class Expected(BaseModel):
    """What the recipe promises: where a new seed's dev quality falls (95 %; None before there are PROMISE_SEEDS), measured on
    so many dev rows, and what a training costs on so many devices (ranks) together."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    quality: float
    prediction_interval: Ends | None = None
    new_data_interval: Ends | None = None
    dev_rows: int | None = Field(default=None, ge=1)
    gpu_seconds: float = Field(ge=0)
    peak_bytes: int = Field(ge=0)
    device: str
    ranks: int = Field(default=1, ge=1)


class Recipe(BaseModel):
    """Fingerprints, setup, seeds, versions, expected quality and cost. epochs: how often the setup sees each row; None in
    recipes of before it was written down. targets: what was known of them, in words; classes: their names, where they are
    classes."""

    model_config = ConfigDict(extra="forbid")
    schema_version: int = Field(default=SCHEMA_VERSION, le=SCHEMA_VERSION)
    task: Task
    task_seed: Seed
    setup: SetupFields
    epochs: float | None = Field(default=None, gt=0, le=MOST_EPOCHS)
    seeds: list[Seed] = Field(min_length=1)
    expected: Expected
    confirmed: bool
    targets: str = ""
    classes: list[str] = []
    fingerprints: dict[str, str]
    versions: dict[str, str]
    run: str

    def setup_for(self, rows: int) -> Setup:
        """The setup on new data of so many rows to train on: for as many epochs, where these are known."""
        setup = self.setup.to_setup()
        return setup if self.epochs is None else setup.until(max(1, round(self.epochs * rows)))


def seeds_apart(result: Result) -> list[list[float]]:
    """Qualities that differ by the seed alone: of one setup, on the same rows of dev."""
    groups: dict[tuple[str | None, int | None], list[float]] = {}
    for entry in result.setups:
        for m in entry.measurements:
            groups.setdefault((entry.id, m.dev_rows), []).append(m.quality)
    return list(groups.values())


def example_error_of(result: Result, decisive: Sequence[Measurement], limits: tuple[float, float]) -> float:
    """The standard error of one of these qualities over the dev examples, in units of the metric."""
    dev_rows = result.task.rows.dev
    scale = reading_scale([m for entry in result.setups for m in entry.measurements], dev_rows, limits)
    return math.sqrt(statistics.fmean(reading_error(m, dev_rows, scale) ** 2 for m in decisive))


def recipe_of(result: Result, recommendation: Recommendation, task: Task, task_seed: int, run: str) -> Recipe:
    """The recipe of a recommended setup: on its base alone, where the task names several."""
    entry = result.setup(recommendation.id)
    decisive = [m for m in entry.measurements if m.role == "confirm"] or entry.measurements
    qualities = [m.quality for m in decisive]
    deviation, freedom = pooled_deviation(seeds_apart(result))
    facts = result.task
    limits = metric_of(get_task_type(facts.task), facts.metric, facts.metric_options).limits
    dev_rows, is_promise = decisive[0].dev_rows or result.task.rows.dev, len(decisive) >= PROMISE_SEEDS
    interval = partial(
        prediction_interval,
        qualities,
        dev_rows,
        example_error_of(result, decisive, limits),
        pooled_sd=deviation if freedom else None,
        pooled_freedom=freedom,
        limits=limits,
    )
    choices = dict(entry.hyperparameters)
    model = str(choices.pop("model", task.models[0]))
    prints = dict(zip(task.models, result.task.fingerprints["model"].split(","), strict=True))
    return Recipe(
        task=task.on(model),
        task_seed=task_seed,
        setup=SetupFields(
            method=entry.method,
            hyperparameters=choices,
            stop_examples=entry.stop_examples or 0,
        ),
        epochs=(entry.stop_examples or 0) / result.task.rows.train,
        seeds=[m.seed for m in decisive],
        expected=Expected(
            quality=recommendation.quality,
            prediction_interval=interval() if is_promise else None,
            new_data_interval=interval(new_data=True) if is_promise else None,
            dev_rows=dev_rows,
            gpu_seconds=recommendation.gpu_seconds,
            peak_bytes=recommendation.peak_bytes,
            device=result.devices.name,
            ranks=decisive[0].ranks,
        ),
        confirmed=recommendation.confirmed,
        targets=result.task.targets,
        classes=result.task.classes,
        fingerprints={**result.task.fingerprints, "model": prints[model]},
        versions=result.versions,
        run=run,
    )


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as people read it."""
    head = (
        "# A recipe of peftcost: `peftcost train recipe.yaml -o DIR` trains this setup again,\n"
        "# `--data new.csv` on other data. expected.prediction_interval: where 95 % of new seeds fall on the same\n"
        "# dev data; new_data_interval: on new data of the same kind.\n"
    )
    return head + yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def load_recipe(path: Path) -> Recipe:
    """A recipe file, or that in a run's folder; its relative paths are taken from its folder. UserError that names file and
    field."""
    path = path / "recipe.yaml" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"There is no recipe at {path}; `peftcost search` writes one into its run's folder.")
    try:
        recipe = Recipe.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path} is not a recipe: {problems_of(error)}.") from error
    try:
        setup = recipe.setup.to_setup()
    except UserError as error:
        raise UserError(f"{path}: {error.args[0]}") from error
    check_choices(setup, str(path))
    return recipe.model_copy(update={"task": absolute_paths(recipe.task, path.absolute().parent)})
