"""Setups that people have written: what makes no sense is named before any work, what a search would not try still runs."""

from __future__ import annotations

from typing import Any

import pytest

from peftcost.core.setup import Setup
from peftcost.errors import UserError
from peftcost.methods import get_method, methods
from peftcost.recipe.choices import check_choices


def written(method: str, **choices: Any) -> Setup:
    return Setup.of(method, {**get_method(method).prior(), **choices}, 64)


@pytest.mark.parametrize(
    ("method", "name", "value", "must_be"),
    [
        ("lora", "rank", -8, "a whole number, 1 or more"),
        ("lora", "rank", 8.5, "a whole number, 1 or more"),
        ("lora", "learning_rate", float("nan"), "a number above 0"),
        ("full", "learning_rate", 0, "a number above 0"),
        ("full", "learning_rate", "fast", "a number above 0"),
        ("full", "learning_rate", None, "a number above 0"),
        ("full", "learning_rate", True, "a number above 0"),
        ("lora", "alpha_over_rank", 0, "a number above 0"),
        ("lora", "dora", "yes", "true or false"),
        ("lora", "top_layers", -1, "a whole number, 0 or more, or null"),
        ("prefix", "virtual_tokens", 0, "a whole number, 1 or more"),
        ("adalora", "orthogonality", -0.1, "a number not below 0"),
        ("full", "batch_size", 0, "a whole number, 1 or more"),
        ("full", "precision", "fp8", "fp32 or bf16 or fp16"),
        ("full", "dropout", 1.0, "a number from 0 to below 1, or null"),
        ("full", "class_weights", "some", "balanced, or null"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(method: str, name: str, value: Any, must_be: str) -> None:
    with pytest.raises(UserError) as refused:
        check_choices(written(method, **{name: value}), "recipe.yaml")
    assert str(refused.value) == f"recipe.yaml: {name} of {method} is {value!r}; it must be {must_be}."


@pytest.mark.parametrize(
    ("method", "choices"),
    [
        ("lora", {"rank": 256, "learning_rate": 0.5, "alpha_over_rank": 0.5, "top_layers": 11}),
        ("frozen", {"top_layers": 7, "dropout": 0.3, "word_dropout": 0.1, "packing": True}),
        ("prompt", {"virtual_tokens": 100, "micro_batch_size": None, "class_weights": "balanced"}),
    ],
)
def test_what_a_search_would_not_try_still_runs(method: str, choices: dict[str, Any]) -> None:
    check_choices(written(method, **choices), "recipe.yaml")


@pytest.mark.parametrize("method", list(methods()))
def test_all_that_a_search_tries_makes_sense(method: str) -> None:
    check_choices(written(method), "recipe.yaml")
    for name, space in get_method(method).space().items():
        for value in getattr(space, "choices", None) or (space.low, space.high):  # type: ignore[attr-defined]
            check_choices(written(method, **{name: value}), "recipe.yaml")
