"""suite.yaml: what is compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peftcost.bench.cells import Contender
from peftcost.core.budget import parse_budget
from peftcost.core.setup import Setup
from peftcost.core.setup_words import setup_words
from peftcost.data.yaml_file import problems_of, read_yaml
from peftcost.errors import UserError
from peftcost.recipe.choices import check_choices
from peftcost.recipe.recipe import SetupFields
from peftcost.task.task import Rows, Task, load_task


class SuiteSearch(BaseModel):
    """A search in each task with each seed. methods: None for the task's own."""

    model_config = ConfigDict(extra="forbid")
    budget: str
    methods: list[str] | None = None


class Suite(BaseModel):
    """Every setup, or a search, on every task, on every model, with every seed.

    models: in place of the tasks' own. rows limits all tasks alike. budget: of all of it together.
    """

    model_config = ConfigDict(extra="forbid")
    tasks: list[str] = Field(min_length=1)
    models: list[str] | None = Field(default=None, min_length=1)
    setups: list[SetupFields] = []
    search: SuiteSearch | None = None
    seeds: list[int] = Field(default=[0], min_length=1)
    rows: Rows | None = None
    budget: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Suite:
        if bool(self.setups) == (self.search is not None):
            raise ValueError("give either setups, or a search")
        for name, values in (("tasks", self.tasks), ("models", self.models or []), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} has one of its values twice")
        return self


def load_suite(path: Path) -> Suite:
    """A suite file; UserError that names file and field."""
    if not path.is_file():
        raise UserError(f"There is no suite at {path}; docs/bench.md shows how one is written.")
    try:
        suite = Suite.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path} is not a suite: {problems_of(error)}.") from error
    for fields in suite.setups:
        check_choices(fields.to_setup(), str(path))
    for budget in (suite.budget, suite.search.budget if suite.search is not None else None):
        if budget is not None:
            parse_budget(budget)
    return suite


def tasks_of(suite: Suite, path: Path) -> dict[str, Task]:
    """The tasks by their names in the report, each on one base: the file's or the data's own name, with the base where there
    are several. Paths in a suite are relative to it."""
    found: dict[str, Task] = {}
    sources = [name if name.startswith("builtin:") else str(path.parent / name) for name in suite.tasks]
    shorts = [short_name(source) for source in sources]
    for name, source, short in zip(suite.tasks, sources, shorts, strict=True):
        loaded = load_task(source)
        limited = loaded if suite.rows is None else loaded.model_copy(update={"rows": suite.rows})
        short = short if shorts.count(short) == 1 else name
        models = suite.models or limited.models
        found |= {f"{short} on {short_name(m)}" if len(models) > 1 else short: limited.on(m) for m in models}
    return found


def short_name(source: str) -> str:
    """What a person calls a task or a base."""
    stem = Path(source.removeprefix("builtin:")).name
    for ending in (".yaml", ".yml", ".task"):
        stem = stem.removesuffix(ending)
    return stem if stem != "task" else Path(source).absolute().parent.name


def contenders_of(setups: list[Setup]) -> dict[str, Contender]:
    """By id. Two setups are never called the same: where the usual words do not tell them apart, the id does."""
    lengths = {setup.stop_examples for setup in setups}
    words = {s.id: setup_words(s.method, s.hyperparameters, s.stop_examples if len(lengths) > 1 else None) for s in setups}
    same = {text for text in words.values() if list(words.values()).count(text) > 1}
    methods: Mapping[str, str] = {setup.id: setup.method for setup in setups}
    return {
        setup_id: Contender(setup_id, f"{text} ({setup_id.rpartition('-')[2]})" if text in same else text, methods[setup_id])
        for setup_id, text in words.items()
    }
