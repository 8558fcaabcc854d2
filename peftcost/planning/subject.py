"""What is to be planned for: a task with its data, or a model's configuration with assumed data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftcost.data.fingerprint import model_config_folder, model_fingerprint, resolve_model
from peftcost.engine.asked import ASKED_ROWS, load_asked
from peftcost.engine.job import NullReporter, prepare_payload
from peftcost.errors import UserError
from peftcost.task.splits import load_task_data
from peftcost.task.task import Task
from peftcost.tasks import TaskType, get_task_type, task_types
from peftcost.tasks.targets import Classes, Targets, Tokens

ROWS, TOKENS, CLASSES = 10_000, 128, Classes(("0", "1"))
"""What is assumed of the data when only a model is given."""
NEW_TOKENS = 64
"""And of answers that are written."""


@dataclass(frozen=True)
class Subject:
    """What is to be trained: the model's configuration and the shape of the data, in tokens. positions: the longest input
    that the model takes. asked_rows, new_tokens: how many answers are written at a search's end, and how long at most."""

    model: str
    config: Any
    task_type: TaskType
    targets: Targets
    positions: int
    longest: int
    usual: int
    rows: int
    dev_rows: int
    test_rows: int
    asked_rows: int = 0
    new_tokens: int = 0


def task_subject(task: Task, max_length: int | None) -> Subject:
    """From a task: its data is read and tokenized, its model's weights are not loaded."""
    from transformers import AutoConfig

    from peftcost.engine.dataset import batches_of_epoch, load_dataset_info, load_split, padded_tokens
    from peftcost.engine.prepare import prepare

    if max_length is not None:
        task = task.model_copy(update={"max_length": checked_length(max_length, None)})
    data = load_task_data(task, 0)
    folder = resolve_model(task.only_model)
    payload = prepare_payload(task, 0, str(folder), model_fingerprint(folder))
    prepared = Path(prepare(payload, NullReporter())["prepared"])
    train, info = load_split(prepared, "train"), load_dataset_info(prepared)
    checked_length(max_length, info.max_positions)
    batches, asked = batches_of_epoch(train.lengths, 16, 0, 0), load_asked(prepared)
    return Subject(
        model=task.only_model,
        config=AutoConfig.from_pretrained(folder),
        task_type=data.task_type,
        targets=data.targets,
        positions=info.max_positions,
        longest=int(train.lengths.max()),
        usual=max(1, round(padded_tokens(train, batches) / len(train))),
        rows=len(data.train),
        dev_rows=len(data.dev),
        test_rows=len(data.test),
        asked_rows=0 if asked is None else len(asked.rows),
        new_tokens=0 if asked is None else asked.new_tokens,
    )


def model_subject(model: str | None, max_length: int | None, rows: int | None) -> Subject:
    """From a model alone, which may be no more than its config.json."""
    if model is None:
        raise UserError("There is nothing to plan for: give --task (or write a task.yaml with init), or --model.")
    from transformers import AutoConfig

    from peftcost.engine.prepare import max_positions

    folder = model_config_folder(model)
    try:
        config = AutoConfig.from_pretrained(folder)
    except (ValueError, KeyError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}/config.json is no model that transformers can build: {reason}") from error
    positions = max_positions(str(folder))
    tokens = checked_length(max_length, positions) or min(TOKENS, positions)
    n, (kind, targets) = rows or ROWS, kind_and_targets(config)
    writing = (min(ASKED_ROWS, n // 5), min(NEW_TOKENS, tokens)) if kind.generates else (0, 0)
    return Subject(model, config, kind, targets, positions, tokens, tokens, n, n // 5, n // 5, *writing)


def kind_for(config: Any) -> TaskType:
    """What a model is most likely to be fine-tuned for: what it was saved as, if that is a task with a head of its own (a
    language model); else the first task type that takes it, text classification before others."""
    import transformers

    saved_as, first = (config.architectures or [""])[0], get_task_type("text-classification")
    kinds = [first, *(kind for kind in task_types().values() if kind is not first)]
    taken = {kind: getattr(transformers, kind.auto_model)._model_mapping.get(type(config), None) for kind in kinds}
    own = [kind for kind, found in taken.items() if not kind.fresh_head and saved_as in names_of_classes(found)]
    return next(iter([*own, *(kind for kind in kinds if taken[kind] is not None)]), first)


def kind_and_targets(config: Any, named: str | None = None) -> tuple[TaskType, Targets]:
    """What to try a model's methods on: the task type that is named, if it brings no head, else one that puts a head on this
    model; where none is named, what the model is most likely for."""
    kind, asked = kind_for(config), None if named is None else get_task_type(named)
    if asked is not None and not asked.fresh_head:
        kind = asked
    elif asked is not None and not kind.fresh_head:
        kind = get_task_type("text-classification")
    return kind, CLASSES if kind.fresh_head else Tokens()


def names_of_classes(found: Any) -> list[str]:
    """transformers maps a configuration to a class, to several, or to none."""
    classes = found if isinstance(found, list | tuple) else [found]
    return [one.__name__ for one in classes if one is not None]


def checked_length(max_length: int | None, positions: int | None) -> int | None:
    if max_length is not None and max_length < 1:
        raise UserError(f"--max-length {max_length} leaves nothing of the inputs; give at least 1.")
    if max_length is not None and positions is not None and max_length > positions:
        raise UserError(f"--max-length {max_length} is above the model's maximum of {positions} tokens; give at most that.")
    return max_length
