"""README.md of a trained model: a model card as the Hugging Face hub reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.core.setup_words import setup_words
from peftcost.core.versions import versions
from peftcost.methods import get_method
from peftcost.methods.peft_method import PeftMethod
from peftcost.methods.plain import PlainMethod
from peftcost.recipe.recipe import Recipe
from peftcost.tasks import get_task_type

JOULES_A_WATT_HOUR = 3600.0
WITH_CLASSES = ("text-classification", "multi-label", "token-classification")
"""Tasks of texts whose classes have names, which PEFT has a class for."""


def model_card(recipe: Recipe, report: Mapping[str, Any], measured: Mapping[str, Any], device: str) -> str:
    """The card of a model that the recipe has trained: metadata, then the same for people. None of the user's rows is in it.

    report: training.json. measured: the training's measurement. device: its name.
    """
    return f"---\n{card_data(recipe, report).to_yaml()}\n---\n\n{card_text(recipe, report, measured, device)}"


def card_data(recipe: Recipe, report: Mapping[str, Any]) -> ModelCardData:
    """The metadata. A base is named where it is a hub id; folders and built-in bases are not on the hub."""
    base, metric = recipe.task.only_model, report["metric"]
    result = EvalResult(
        task_type=hub_task(recipe) or "other",
        dataset_type="custom",
        dataset_name=f"custom data, fingerprint {report['fingerprints']['data'][:12]}",
        dataset_split="dev",
        metric_type=metric,
        metric_name=metric,
        metric_value=round(report["quality"], 6),
    )
    return ModelCardData(
        base_model=base if is_hub_id(base) else None,
        library_name=library_of(recipe.setup.method) or "peftcost",
        pipeline_tag=hub_task(recipe),
        tags=["peftcost", recipe.setup.method],
        model_name=f"{recipe.run} {recipe.setup.method}",
        eval_results=[result],
        peftcost={"version": versions().get("peftcost"), "fingerprints": report["fingerprints"], "seed": report["seed"]},
    )


def hub_task(recipe: Recipe) -> str | None:
    """What the hub calls the task; None where the recipe does not name it."""
    name = recipe.task.task
    return None if name is None else get_task_type(name).pipeline_tag or name


def library_of(method: str) -> str | None:
    """Which library loads what this method writes, without peftcost; None where none does."""
    found = get_method(method)
    if isinstance(found, PlainMethod):
        return "transformers"
    return "peft" if isinstance(found, PeftMethod) else None


def is_hub_id(base: str) -> bool:
    """owner/name; no path and no builtin."""
    owner, slash, name = base.partition("/")
    return bool(slash and owner and name) and "/" not in name and not base.startswith((".", "~")) and ":" not in base


def card_text(recipe: Recipe, report: Mapping[str, Any], measured: Mapping[str, Any], device: str) -> str:
    """What it is, what it reaches, what it took, and how to make it again."""
    setup, interval = recipe.setup.to_setup(), report["promised_interval"]
    promised = f" (the recipe lets expect {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    joules = measured.get("energy_joules")
    energy = "" if joules is None else f" and {joules / JOULES_A_WATT_HOUR:.2f} Wh"
    cost = f"{format_seconds(report['gpu_seconds'])} on {report['ranks']} x {device}{energy}"
    rows = [
        ("base", f"{recipe.task.only_model}, fingerprint {report['fingerprints']['model'][:12]}"),
        ("setup", setup_words(setup.method, setup.hyperparameters, report["stop_examples"])),
        ("trained on", f"{report['rows']['train']:,} rows, fingerprint {report['fingerprints']['data'][:12]}"),
        (
            "quality",
            f"{report['metric']} {report['quality']:.3f} on {report['rows']['dev']:,} dev rows{promised}",
        ),
        ("cost", f"{cost}; {format_bytes(report['peak_bytes'])} of memory at the peak"),
        ("recommended by", f"the search {recipe.run!r}, {'confirmed' if recipe.confirmed else 'not confirmed'}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in report["versions"].items())),
    ]
    table = "\n".join(f"| {name} | {plain(text)} |" for name, text in rows)
    loads = {"transformers": "plain transformers loads this folder, too", "peft": "plain PEFT loads this folder, too"}
    others = loads.get(library_of(setup.method) or "", "no other library loads this folder")
    return (
        f"# {plain(recipe.run)}: {setup.method}\n\nTrained with peftcost.\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        f"Predict with `peftcost predict . --data new.csv -o out.csv`; {others}. `training.json` has all figures.\n"
        f"{loading_with_peft(recipe)}"
    )


def loading_with_peft(recipe: Recipe) -> str:
    """The code that loads an adapter for classes by PEFT alone: its folder has no configuration of a model, which would say
    how many classes there are, what they are called and which token pads."""
    method, task = get_method(recipe.setup.method), recipe.task.task
    auto_model = get_task_type(task).auto_model if task in WITH_CLASSES else ""
    if not isinstance(method, PeftMethod) or method.quantization is not None or not auto_model:
        return ""
    named = auto_model.replace("AutoModel", "AutoPeftModel")
    return f"""
```python
import json
from peft import {named}
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
names = dict(enumerate(json.load(open("peftcost.json", encoding="utf-8"))["dataset_info"]["targets"]["names"]))
model = {named}.from_pretrained(
    ".", num_labels=len(names), id2label=names, pad_token_id=tokenizer.pad_token_id
)
```
"""


def plain(text: str) -> str:
    """One line of a table cell, without markup."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return flat.replace("|", "\\|").replace("[", "\\[").replace("`", "\\`")
