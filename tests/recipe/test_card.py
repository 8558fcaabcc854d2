"""The model card: the hub's own parser reads it, and nothing of it can break out."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard

from peftcost.recipe.card import card_data, is_hub_id, model_card
from peftcost.recipe.recipe import Expected, Recipe, SetupFields
from peftcost.task.task import Task

PRINTS = {"data": "d" * 64, "model": "m" * 64}


@pytest.fixture
def recipe() -> Recipe:
    task = Task(model="owner/base", data="tweets.csv", task="text-classification", metric="accuracy")
    return Recipe(
        task=task,
        task_seed=0,
        setup=SetupFields(method="lora", hyperparameters={"rank": 8}, stop_examples=4000),
        seeds=[1],
        expected=Expected(quality=0.8, gpu_seconds=20.0, peak_bytes=10**8, device="CPU"),
        confirmed=True,
        fingerprints=PRINTS,
        versions={},
        run="a|b <script>",
    )


def report() -> dict[str, Any]:
    return {
        "metric": "accuracy",
        "quality": 0.8125,
        "promised_interval": [0.78, 0.83],
        "gpu_seconds": 21.5,
        "ranks": 1,
        "peak_bytes": 123_000_000,
        "seed": 3,
        "stop_examples": 64,
        "rows": {"train": 2000, "dev": 600},
        "fingerprints": PRINTS,
        "versions": {"peftcost": "0.1.0"},
    }


def test_the_hubs_parser_reads_its_metadata(recipe: Recipe) -> None:
    card = ModelCard(model_card(recipe, report(), {"energy_joules": 7200.0}, "CPU"))
    assert card.data.base_model == "owner/base" and card.data.library_name == "peft"
    (result,) = card.data.eval_results or []
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("accuracy", 0.8125, "dev")
    assert card.data.to_dict()["peftcost"]["fingerprints"] == PRINTS


def test_people_read_quality_cost_energy_and_setup(recipe: Recipe) -> None:
    text = ModelCard(model_card(recipe, report(), {"energy_joules": 7200.0}, "CPU")).text
    for said in (
        "accuracy 0.812 on 600 dev rows",
        "0.780 to 0.830",
        "22 s on 1 x CPU and 2.00 Wh",
        "123 MB",
        "lora r=8",
        "confirmed",
    ):
        assert said in text
    assert "<script>" not in text and "a\\|b" in text


@pytest.mark.parametrize(
    ("method", "library", "says"),
    [
        ("nf4-lora", "peft", "plain PEFT loads this folder, too"),
        ("bitfit", "transformers", "plain transformers loads this folder, too"),
        ("houlsby", "peftcost", "no other library loads this folder"),
    ],
)
def test_it_says_what_loads_the_folder(recipe: Recipe, method: str, library: str, says: str) -> None:
    setup = SetupFields(method=method, stop_examples=4000)
    card = ModelCard(model_card(recipe.model_copy(update={"setup": setup}), report(), {}, "CPU"))
    assert card.data.library_name == library
    assert says in card.text


@pytest.mark.parametrize(
    ("method", "task", "loads"),
    [
        ("lora", "text-classification", "AutoPeftModelForSequenceClassification"),
        ("lora", "token-classification", "AutoPeftModelForTokenClassification"),
        ("lora", "causal-lm", None),
        ("full", "text-classification", None),
    ],
)
def test_it_shows_how_peft_alone_learns_the_classes_and_the_padding(
    recipe: Recipe, method: str, task: str, loads: str | None
) -> None:
    setup, named = SetupFields(method=method, stop_examples=4000), recipe.task.model_copy(update={"task": task})
    text = ModelCard(model_card(recipe.model_copy(update={"setup": setup, "task": named}), report(), {}, "CPU")).text
    assert ("pad_token_id=tokenizer.pad_token_id" in text) == (loads is not None)
    assert loads is None or f"from peft import {loads}" in text


def test_what_is_not_on_the_hub_is_not_named_as_a_base_there(recipe: Recipe) -> None:
    assert [is_hub_id(base) for base in ("owner/base", "builtin:minilm", "/models/mine", "./a/b", "name")] == [True] + [
        False
    ] * 4
    assert card_data(recipe.model_copy(update={"task": recipe.task.on("builtin:minilm")}), report()).base_model is None


@pytest.mark.parametrize(
    ("task", "tag"), [("causal-lm", "text-generation"), ("token-classification", "token-classification")]
)
def test_the_hub_knows_the_task_by_its_own_name(recipe: Recipe, task: str, tag: str) -> None:
    named = recipe.model_copy(update={"task": recipe.task.model_copy(update={"task": task})})
    data = card_data(named, report())
    assert data.pipeline_tag == tag and (data.eval_results or [])[0].task_type == tag
