"""Saves artifacts, loads them, and runs them on a split."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peftcost.core.setup import Setup
from peftcost.data.features import Split
from peftcost.engine import ranks
from peftcost.engine.base_model import BaseSpec, hold_frozen, level_norms, load_base
from peftcost.engine.dataset import DatasetInfo, load_dataset_info, load_split
from peftcost.engine.evaluate import describe, evaluate
from peftcost.engine.generate import texts_of
from peftcost.engine.job import Reporter
from peftcost.engine.judged import as_trained
from peftcost.engine.precision import leave_to_autocast
from peftcost.engine.train_state import collator_for, mixed_precision_dtype, new_accelerator
from peftcost.engine.widths import encoded
from peftcost.methods import get_method
from peftcost.task.splits import load_task_data
from peftcost.task.task import Task


def load_artifact(folder: Path, setup: Setup, info: DatasetInfo, seed: int) -> tuple[torch.nn.Module, torch.device]:
    """The model of a saved artifact over a freshly loaded base, in eval mode, on this process's device."""
    method = get_method(setup.method)
    precision = str(setup.hyperparameters["precision"])
    accelerator = new_accelerator(precision)
    device = accelerator.device
    spec = BaseSpec.of(info, method, setup.hyperparameters)
    base = load_base(spec, seed, str(device))
    hold_frozen(base, spec.weights)
    model = method.load(base, folder)
    level_norms(model)
    leave_to_autocast(model, precision)
    model = accelerator.prepare_model(model, evaluation_mode=True)
    return model.eval(), device


def save_artifact(save: Callable[[torch.nn.Module, Path], None], model: torch.nn.Module, folder: Path) -> None:
    """What `save` writes of the model, written aside and renamed."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    save(model, aside)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(aside, folder)


def open_test(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Evaluate an artifact on the test split. payload: prepared, setup, seed, out. Writes out/test_rows.npy."""
    reporter.phase("test")
    setup = Setup.from_dict(payload["setup"])
    out = Path(payload["out"])
    info = as_trained(load_dataset_info(Path(payload["prepared"])), out)
    model, device = load_artifact(out / "model", setup, info, payload["seed"])
    collator = collator_for(info, get_method(setup.method), setup.hyperparameters)
    evaluation = evaluate(model, load_split(Path(payload["prepared"]), "test"), collator, device)
    ranks.on_main(lambda: np.save(out / "test_rows.npy", evaluation.rows))
    return {"rows": str(out / "test_rows.npy"), "loss": evaluation.loss}


def baselines(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """What needs no base, on the test split: the task type's baselines.

    payload: task, task_seed, out. Writes out/NAME.npy for each that makes sense for the task as soon as it is known.
    """
    data = load_task_data(Task.model_validate(payload["task"]), payload["task_seed"])
    for name, baseline in data.task_type.baselines().items():
        rows = baseline.rows(data.train, data.test, data.targets)
        if rows is not None:
            save_rows(Path(payload["out"]) / f"{name}.npy", rows)
    return {}


def untuned(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """The base as it comes on the test split. payload: prepared, seed, out. Writes out/untuned.npy."""
    reporter.phase("baselines")
    prepared = Path(payload["prepared"])
    save_rows(Path(payload["out"]) / "untuned.npy", untuned_rows(load_dataset_info(prepared), prepared, payload["seed"]))
    return {}


def untuned_rows(info: DatasetInfo, prepared: Path, seed: int) -> np.ndarray:
    """What the base as it comes says of the test split."""
    model, device = load_untuned(info, seed)
    return evaluate(model, load_split(prepared, "test"), collator_for(info, get_method("full"), {}), device).rows


def load_untuned(info: DatasetInfo, seed: int) -> tuple[torch.nn.Module, torch.device]:
    """The base as it comes, under a fresh head if the task puts one on it, on this process's device."""
    device = new_accelerator("fp32").device
    model: torch.nn.Module = load_base(BaseSpec.plain(info), seed)
    return model.to(device).eval(), device


def save_rows(path: Path, rows: np.ndarray) -> None:
    """Written aside and renamed: who saves them may be ended at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part.npy")
    np.save(aside, rows)
    os.replace(aside, path)


def write_whole(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Write the artifact of a setup, of which the search has kept what was trained, in the library's own format. payload:
    prepared, setup, seed, out."""
    reporter.phase("checkpoint")
    setup, folder = Setup.from_dict(payload["setup"]), Path(payload["out"]) / "model"
    model, _ = load_artifact(folder, setup, load_dataset_info(Path(payload["prepared"])), payload["seed"])
    save_artifact(get_method(setup.method).save, model, folder)
    return {}


def reload(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Load a saved artifact over a base of another seed and predict dev again. payload: prepared, setup, seed, out.

    Returns how many dev rows there are, and how many are not as out/dev_rows.npy has them: none but ties, if all that was
    trained was saved.
    """
    reporter.phase("test")
    setup, prepared = Setup.from_dict(payload["setup"]), Path(payload["prepared"])
    out = Path(payload["out"])
    info = as_trained(load_dataset_info(prepared), out)
    model, device = load_artifact(out / "model", setup, info, payload["seed"] + 1)
    method, choices = get_method(setup.method), setup.hyperparameters
    collator = collator_for(info, method, choices)
    rows, saved = evaluate(model, load_split(prepared, "dev"), collator, device).rows, np.load(out / "dev_rows.npy")
    # What the trained layers were given may have been kept in the precision of the training.
    rounded = method.saves_other_shapes or method.frozen_depth(model, choices) > 0
    return {"rows": len(saved), "differing": differing(rows, saved, str(choices["precision"]) if rounded else "fp32")}


def differing(rows: np.ndarray, saved: np.ndarray, precision: str) -> int:
    """How many rows are not alike. Probabilities and losses may be summed in another order. precision: in which they were
    rounded otherwise, which changes its last digit, of bf16 the third."""
    digit = float(torch.finfo(mixed_precision_dtype(precision) or torch.float32).eps)
    alike = np.isclose(rows, saved, rtol=max(1e-4, digit), atol=max(1e-3, digit))
    return int((~alike.all(axis=1)).sum())


def write_card(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """`peftcost.json` and the processor beside an artifact: all that is needed to use it.

    payload: prepared, setup, columns, folder (the artifact's); base, where it is known by more than its folder: name,
    revision, fingerprint.
    """
    folder = Path(payload["folder"])
    info = as_trained(load_dataset_info(Path(payload["prepared"])), folder.parent)
    base = payload.get("base", {"name": info.model})
    card = {
        "schema_version": 1,
        "base": base,
        "dataset_info": {**info.as_dict(), "model": base["name"]},
        "setup": payload["setup"],
        "columns": payload["columns"],
    }
    (folder / "peftcost.json").write_text(json.dumps(card, indent=1, ensure_ascii=False), encoding="utf-8")
    info.task_type.processor(info.model).save_pretrained(folder)
    return {}


def use(payload: dict[str, Any], labelled: bool) -> tuple[torch.nn.Module, torch.device, DatasetInfo, Setup, Split]:
    """A trained folder and examples for it, as a batch needs them. payload: folder, card (its `peftcost.json`), examples."""
    folder, card = Path(payload["folder"]), payload["card"]
    info, setup = DatasetInfo.from_dict(card["dataset_info"]), Setup.from_dict(card["setup"])
    model, device = load_artifact(folder, setup, info, seed=0)
    # an adapter's folder has no configuration of a model, which processors of pictures and sounds look at
    processor = info.task_type.processor(str(folder) if (folder / "config.json").exists() else info.model)
    targets = info.targets if labelled else None
    split = encoded(info.task_type, processor, payload["examples"], targets, info.max_length, info.model)
    return model, device, info, setup, split


def predict(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """What the model in a trained folder says of each unlabelled example. payload: as for `use`."""
    reporter.phase("test")
    model, device, info, setup, split = use(payload, labelled=False)
    if info.task_type.generates:
        return {"rows": texts_of(model, split, info, payload["folder"], setup, device)}
    return {"rows": describe(model, split, collator_for(info, get_method(setup.method), setup.hyperparameters), device)}


def evaluate_examples(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Predict labelled examples with the model in a trained folder. payload: as for `use`, and out, the file of the rows."""
    reporter.phase("test")
    model, device, info, setup, split = use(payload, labelled=True)
    found = evaluate(model, split, collator_for(info, get_method(setup.method), setup.hyperparameters), device)
    save_rows(Path(payload["out"]), found.rows)
    return {"loss": found.loss}
