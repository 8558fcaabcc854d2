"""Choices for few labels: they change what a training sees, and nothing of what it is judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peftcost.core.setup import Setup
from peftcost.data.features import Split
from peftcost.engine.dataset import DatasetInfo, load_dataset_info, load_split
from peftcost.engine.few_labels import change_of
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.sharing import unsupported_reason
from peftcost.engine.train import train
from peftcost.engine.train_state import collator_for
from peftcost.errors import SetupFailed
from peftcost.methods import get_method


@pytest.fixture
def data(prepared: str) -> tuple[Split, DatasetInfo]:
    return load_split(Path(prepared), "train"), load_dataset_info(Path(prepared))


def test_every_class_weighs_the_same_in_the_loss(data: tuple[Split, DatasetInfo]) -> None:
    split, info = data
    change = change_of({"class_weights": "balanced"}, split, info)
    assert change is not None
    batch = change(collator_for(info, get_method("full"), {}).batch(split, np.arange(len(split))), 0)
    assert batch.weights is not None
    sums = [float(batch.weights[batch.targets == c].sum()) for c in range(3)]
    assert sums == pytest.approx([len(split) / 3] * 3, rel=1e-4)
    logits = torch.randn(len(split), 3, generator=torch.Generator().manual_seed(0))
    each = torch.nn.functional.cross_entropy(logits, batch.targets.long(), reduction="none")
    assert float(info.task_type.loss(logits, batch)[0]) == pytest.approx(float((each * batch.weights).sum()), rel=1e-5)


def test_words_are_hidden_anew_in_every_step_but_never_those_that_frame_a_text(data: tuple[Split, DatasetInfo]) -> None:
    split, info = data
    change = change_of({"word_dropout": 0.3}, split, info)
    assert change is not None
    before = collator_for(info, get_method("full"), {}).batch(split, np.arange(64))
    once, again, later = (change(before, seed).inputs["input_ids"] for seed in (1, 1, 2))
    ids, processor = before.inputs["input_ids"], info.task_type.processor(info.model)
    assert torch.equal(once, again) and not torch.equal(once, later)
    special = torch.isin(ids, torch.tensor(processor.all_special_ids))
    assert torch.equal(once[special], ids[special])
    assert set(once[once != ids].tolist()) == {processor.mask_token_id}
    assert float((once != ids)[~special].float().mean()) == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("choices", [{"class_weights": "balanced"}, {"word_dropout": 0.2}])
@pytest.mark.parametrize("method", ["lora", "frozen"])
def test_a_training_is_another_one_and_goes_on_as_it_was(
    prepared: str, tmp_path: Path, choices: dict[str, Any], method: str
) -> None:
    """Also when it goes on from a checkpoint, and below layers that nothing trains."""
    priors = {**get_method(method).prior(), "top_layers": 1}
    plain, changed = (Setup.of(method, {**priors, **more}, 128) for more in ({}, choices))
    folders = {name: tmp_path / name for name in ("plain", "changed", "long", "short", "further")}
    for folder in folders.values():
        folder.mkdir()
    losses = {
        "plain": train(TrainJob(prepared, plain, 0, str(folders["plain"])), NullReporter())["dev_loss"],
        "changed": train(TrainJob(prepared, changed, 0, str(folders["changed"])), NullReporter())["dev_loss"],
        "long": train(TrainJob(prepared, changed.until(256), 0, str(folders["long"])), NullReporter())["dev_loss"],
    }
    train(TrainJob(prepared, changed, 0, str(folders["short"])), NullReporter())
    further = TrainJob(prepared, changed.until(256), 0, str(folders["further"]))
    resumed = train(replace(further, parent=str(folders["short"] / "checkpoint")), NullReporter())
    assert losses["plain"] != losses["changed"]
    assert resumed["dev_loss"] == losses["long"]


def test_what_makes_no_sense_is_refused(data: tuple[Split, DatasetInfo]) -> None:
    split, info = data
    with pytest.raises(SetupFailed, match="class_weights is 'heavy'; it can be 'balanced'"):
        change_of({"class_weights": "heavy"}, split, info)
    with pytest.raises(SetupFailed, match="for one class a row, which regression does not have"):
        change_of({"class_weights": "balanced"}, split, replace(info, task="regression"))
    with pytest.raises(SetupFailed, match="for texts, which image-classification does not read"):
        change_of({"word_dropout": 0.1}, split, replace(info, task="image-classification"))
    assert change_of({}, split, info) is None


def test_such_setups_train_alone() -> None:
    lora = {**get_method("lora").prior()}
    assert unsupported_reason(Setup.of("lora", lora, 64)) is None
    assert unsupported_reason(Setup.of("lora", {**lora, "word_dropout": 0.1}, 64)) is not None
