"""The Task: what is to be learnt, as task.yaml says it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from peftcost.data.builtin import PREFIX
from peftcost.data.fingerprint import looks_like_a_path
from peftcost.data.guess import told_of_label
from peftcost.data.hub_files import HUB, located
from peftcost.data.readers import read_table
from peftcost.data.split_folder import train_file
from peftcost.data.yaml_file import read_yaml
from peftcost.errors import UserError, did_you_mean, slash_hint
from peftcost.task.columns import guess_columns
from peftcost.task.commented import commented_yaml
from peftcost.tasks import get_task_type

DEFAULT_MODEL = "builtin:minilm"
BUILTIN_TASKS: dict[str, dict[str, Any]] = {
    "tweets": {
        "model": DEFAULT_MODEL,
        "task": "text-classification",
        "data": "builtin:tweets",
        "columns": {"text": "text", "label": "sentiment"},
        "metric": "accuracy",
    },
    "opinions": {
        "model": DEFAULT_MODEL,
        "task": "text-classification",
        "data": "builtin:opinions",
        "columns": {"text": "text", "label": "sentiment"},
        "metric": "accuracy",
        "margin": 0.04,
        "rows": {"train": 800, "dev": 1500, "test": 1000},
    },
    "wnut16": {
        "model": DEFAULT_MODEL,
        "task": "token-classification",
        "data": "builtin:wnut16",
        "columns": {"tokens": "tokens", "tags": "tags"},
        "metric": "entity_f1",
    },
    "dialogue": {
        "model": "builtin:smollm2",
        "task": "causal-lm",
        "data": "builtin:dialogue",
        "columns": {"prompt": "prompt", "completion": "completion"},
        "metric": "negative_loss",
    },
}


class DataFiles(BaseModel):
    """Where the rows are. A split that is left out is split off from train."""

    model_config = ConfigDict(extra="forbid")
    train: str
    dev: str | None = None
    test: str | None = None


class Rows(BaseModel):
    """At most so many rows of each split are used, a stratified sample."""

    model_config = ConfigDict(extra="forbid")
    train: int | None = Field(default=None, ge=2)
    dev: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)


class Shares(BaseModel):
    """What is split off: a share of the rows (below 1), or so many rows. test: 0 for none, which suits no search."""

    model_config = ConfigDict(extra="forbid")
    dev: float | None = Field(default=None, gt=0)
    test: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _leave_some(self) -> Shares:
        given = [value for value in (self.dev, self.test) if value is not None]
        if any(value > 1 and not value.is_integer() for value in given):
            raise ValueError("a split takes a share of the rows (below 1) or a whole number of them")
        if sum(value for value in given if value < 1) >= 1:
            raise ValueError("dev and test together take all rows; leave some to train on")
        return self


def _kind_of_metric(value: Any) -> str:
    return "options" if isinstance(value, Mapping) else "name"


def _kind_of_data(value: Any) -> str:
    return "files" if isinstance(value, Mapping | DataFiles) else "file"


class Task(BaseModel):
    """A task.yaml.

    model: a hub id, a folder, or builtin:NAME; or several, to search over. data: a file, or one for each split. columns:
    role -> column, or several columns that are one text.
    margin: quality that one would give up for a cheaper setup. max_length: tokens at which inputs are cut.
    splits: the shares that are split off. group: a column; rows of equal value go to one split. time: a column; the
    latest rows are dev and test. skip_bad_rows: leave out, and tell, rows that cannot be used.
    What is None is inferred, or takes the default of the task type or of the metric.
    """

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)]
    task: str | None = None
    data: Annotated[Annotated[str, Tag("file")] | Annotated[DataFiles, Tag("files")], Discriminator(_kind_of_data)]
    columns: dict[str, str | Annotated[list[str], Field(min_length=1)]] | None = None
    metric: (
        Annotated[Annotated[str, Tag("name")] | Annotated[dict[str, Any], Tag("options")], Discriminator(_kind_of_metric)]
        | None
    ) = None
    margin: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    methods: list[str] | Literal["all"] | None = None
    max_length: int | None = Field(default=None, ge=4)
    rows: Rows | None = None
    splits: Shares | None = None
    group: str | None = None
    time: str | None = None
    skip_bad_rows: bool | None = None
    _guessed: list[str] = PrivateAttr(default_factory=list)
    _file: str | None = PrivateAttr(default=None)

    @field_validator("task")
    @classmethod
    def _known_task(cls, name: str | None) -> str | None:
        if name is not None:
            _as_value_error(get_task_type, name)
        return name

    @field_validator("columns")
    @classmethod
    def _known_roles(cls, columns: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        if columns and info.data.get("task"):
            kind = get_task_type(info.data["task"])
            roles = list(dict.fromkeys(role for shape in kind.shapes for role in shape))
            for role, column in columns.items():
                if role not in roles:
                    raise ValueError(f"{role!r} is no role.{did_you_mean(role, roles)} Roles are: {', '.join(roles)}.")
                if isinstance(column, list) and role not in kind.several:
                    raise ValueError(f"{role!r} takes one column, but got {column}.")
        return columns

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, said: Any, info: ValidationInfo) -> Any:
        name = said.get("name") if isinstance(said, dict) else said
        if isinstance(said, dict) and ("name" in said) == ("file" in said):
            raise ValueError("give the `name` of a metric, or the `file` of your own and its `function`")
        if isinstance(name, str) and info.data.get("task"):
            _as_value_error(lambda: check_metric_name(name, info.data["task"]))
        return said

    @field_validator("methods", mode="before")
    @classmethod
    def _methods_as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) and value != "all" else value

    @field_validator("model")
    @classmethod
    def _each_model_once(cls, value: str | list[str]) -> str | list[str]:
        names = [value] if isinstance(value, str) else value
        if "" in names:
            raise ValueError("a model's name is empty")
        if len(set(names)) < len(names):
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)} stands there twice")
        return names[0] if len(names) == 1 else value

    @property
    def metric_name(self) -> str | None:
        """Of a metric of the user's own, the function's."""
        if not isinstance(self.metric, dict):
            return self.metric
        return str(self.metric.get("name") or self.metric.get("function", "score"))

    @property
    def guessed(self) -> list[str]:
        """What to tell of choices that nobody made; not part of a task.yaml."""
        return self._guessed

    def with_guessed(self, notes: list[str]) -> Task:
        """The task, of which this is to be told."""
        task = self.model_copy()
        task._guessed = notes
        return task

    @property
    def file(self) -> str | None:
        """The task.yaml that it was read from; not part of one."""
        return self._file

    def of_file(self, path: str | None) -> Task:
        """The task, of which errors are to name this file."""
        task = self.model_copy()
        task._file = path
        return task

    def place_of(self, field: str) -> str:
        """Where a field of the task stands, for messages: "task.yaml, metric"."""
        return field if self.file is None else f"{self.file}, {field}"

    @property
    def models(self) -> list[str]:
        """The base, or the bases."""
        return [self.model] if isinstance(self.model, str) else self.model

    @property
    def only_model(self) -> str:
        """The base. UserError where there are several."""
        if len(self.models) > 1:
            raise UserError(f"The task names {len(self.models)} models, which only `peftcost search` compares; keep one.")
        return self.models[0]

    def on(self, model: str) -> Task:
        """The task with this base alone."""
        return self.model_copy(update={"model": model})

    @property
    def files(self) -> DataFiles:
        """The data as one file a split."""
        return DataFiles(train=self.data) if isinstance(self.data, str) else self.data

    @property
    def short_name(self) -> str:
        """A name for folders: of the built-in data, of the file, or of its folder when the file is called train."""
        path = Path(self.files.train.removeprefix(PREFIX))
        stem = path.absolute().parent.name if path.stem in ("train", "data") else path.stem
        return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "task"


def check_metric_name(name: str, task: str) -> None:
    """UserError with the nearest name when the task type has no such metric."""
    known = list(get_task_type(task).metrics)
    if name not in known:
        raise UserError(f"{task} has no metric {name!r}.{did_you_mean(name, known)} It has: {', '.join(known)}.")


def load_task(source: str | Path, label: str | None = None, skip_bad_rows: bool = False, model: str | None = None) -> Task:
    """Read the task of a task.yaml, of `builtin:NAME`, or of a data file with its label column.

    Args:
        source: One of these; of data files, one on the hub (hf://…), too. Relative paths in a task.yaml are taken from its
            folder.
        label: The column of labels, of a data file.
        skip_bad_rows: Whether rows of a data file that cannot be used are left out.
        model: The base for a data file. Default: the usual one of its task type.

    Returns:
        The task. Its paths are absolute.

    Raises:
        UserError: For all that is wrong at once.
    """
    if str(source).startswith(PREFIX):
        return _builtin_task(str(source).removeprefix(PREFIX))
    path = Path(source)
    if path.suffix.lower() not in (".yaml", ".yml"):
        if str(source) in BUILTIN_TASKS and not path.exists():
            raise UserError(f"There is no file {source}; the built-in task is called {PREFIX}{source}.")
        table = read_table(train_file(source), skip_bad_rows)
        kind, columns = guess_columns(table, label, model)
        base, skip = model or kind.default_model, skip_bad_rows or None
        task = Task(model=base, task=kind.name, data=located(source), columns=columns, skip_bad_rows=skip)
        return task.with_guessed([*kind.odd_cells(table, columns), *(told_of_label(table, columns) if label is None else [])])
    if label is not None:
        raise UserError(f"--label is for data files; in {path} write `columns: {{label: {label}}}`.")
    if not os.path.exists(path):
        raise UserError(
            f"There is no task file {path}; write one with `peftcost init FILE.csv`, or try `--task builtin:tweets`"
            f"{slash_hint(str(path))}."
        )
    return absolute_paths(validate_task(read_yaml(path), str(path)), path.absolute().parent).of_file(str(path))


def validate_task(fields: Mapping[str, Any], where: str) -> Task:
    """The task of these fields; one UserError, with the file's name, for everything that is wrong with them."""
    try:
        return Task.model_validate(fields)
    except ValidationError as error:
        problems = dict.fromkeys(_explain(problem).rstrip(".") for problem in error.errors())
        raise UserError(f"{where}: {'; '.join(problems)}.") from error


def absolute_paths(task: Task, folder: Path) -> Task:
    """The task with its relative paths taken from this folder."""
    files = {name: _absolute(path, folder) for name, path in task.files.model_dump(exclude_none=True).items()}
    data = files["train"] if isinstance(task.data, str) else DataFiles(**files)
    models = [_absolute_model(model, folder) for model in task.models]
    metric = task.metric
    if isinstance(metric, dict) and "file" in metric:
        metric = {**metric, "file": _absolute(str(metric["file"]), folder)}
    return task.model_copy(update={"data": data, "model": models if len(models) > 1 else models[0], "metric": metric})


def relative_paths(task: Task, folder: Path) -> Task:
    """The task with its data files in this folder told relative to it, so that the folder can be moved."""
    files = {name: _relative(path, folder) for name, path in task.files.model_dump(exclude_none=True).items()}
    return task.model_copy(update={"data": files["train"] if isinstance(task.data, str) else DataFiles(**files)})


def _relative(path: str, folder: Path) -> str:
    inside = Path(path).is_relative_to(folder.absolute())
    return Path(path).relative_to(folder.absolute()).as_posix() if inside else path


def _absolute_model(model: str, folder: Path) -> str:
    is_folder = looks_like_a_path(model) or (folder / model).is_dir()
    return _absolute(model, folder) if is_folder and not model.startswith(PREFIX) else model


def _absolute(path: str, folder: Path) -> str:
    return path if path.startswith((PREFIX, HUB)) else str((folder / Path(path).expanduser()).absolute())


def _builtin_task(name: str) -> Task:
    if name not in BUILTIN_TASKS:
        known = list(BUILTIN_TASKS)
        raise UserError(f"There is no built-in task {name!r}.{did_you_mean(name, known)} There are: {', '.join(known)}.")
    return Task.model_validate(BUILTIN_TASKS[name])


def task_yaml(task: Task) -> str:
    """The task as YAML, with a comment on each field; `load_task` reads the same task from it."""
    return commented_yaml(task.model_dump(mode="json", exclude_none=True))


def _as_value_error(check: Any, *arguments: Any) -> None:
    """Pydantic gathers ValueErrors, and lets all others through."""
    try:
        check(*arguments)
    except UserError as error:
        raise ValueError(str(error)) from error


def _explain(problem: Any) -> str:
    """One of pydantic's problems in our words: field, what is wrong, what to do."""
    # pydantic names the branch of a union, too: file, list[str], literal['all']
    path = [str(part) for part in problem["loc"] if part not in ("file", "files", "name", "options") and "[" not in str(part)]
    field = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known: Any = {"data": DataFiles, "rows": Rows, "splits": Shares}.get(path[0], Task) if len(path) > 1 else Task
        names = list(known.model_fields)
        return f"unknown field {field!r}.{did_you_mean(path[-1], names)} Known are: {', '.join(names)}"
    if problem["type"] == "missing":
        return f"the field {field!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{field}: {message}"
    return f"{field}: {message[0].lower()}{message[1:]}, but is {problem['input']!r}"
