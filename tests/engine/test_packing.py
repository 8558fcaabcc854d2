"""Texts laid end to end in one row: the same numbers as padded ones, and only where that is faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

from peftcost.core.setup import PACKING, Setup
from peftcost.cost.model import Probe
from peftcost.engine import step_times as timing
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.packing import can_pack, packed_logits
from peftcost.engine.prepare import prepare
from peftcost.engine.probe import probe
from peftcost.engine.train import train
from peftcost.methods import get_method, methods
from peftcost.task.task import Rows, load_task
from peftcost.tasks import get_task_type
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Classes

CLASSES = Classes(("a", "b"))

PACKED = [name for name in methods() if name not in ("prompt", "prefix", "frozen", "int8_lora", "bitfit")]
"""All but those that put virtual tokens in front, keep their base's activations, quantize these row by row, or find no biases
in this base."""


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture(scope="module")
def prepared(tiny_llama: Path) -> str:
    task = load_task("builtin:tweets").model_copy(
        update={"model": str(tiny_llama), "rows": Rows(train=96, dev=40, test=40), "max_length": 40}
    )
    return str(prepare(prepare_payload(task, 0, str(tiny_llama), "tiny-llama"), NullReporter())["prepared"])


def trained(prepared: str, setup: Setup, out: Path) -> dict[str, Any]:
    out.mkdir()
    return train(TrainJob(prepared, setup, 5, str(out)), NullReporter())


@pytest.mark.parametrize("method", PACKED)
def test_a_packed_training_ends_like_the_padded_one(prepared: str, tmp_path: Path, method: str) -> None:
    setup = Setup.of(method, {**get_method(method).prior(), "dropout": 0.0, "learning_rate": 1e-3}, 192)
    padded = trained(prepared, setup, tmp_path / "padded")
    packed = trained(prepared, Setup.of(method, {**setup.hyperparameters, PACKING: True}, 192), tmp_path / "packed")
    assert packed["train_loss"] == pytest.approx(padded["train_loss"], rel=2e-4)
    assert packed["dev_loss"] == pytest.approx(padded["dev_loss"], rel=2e-4)
    rows, of_padded = (np.load(tmp_path / how / "dev_rows.npy") for how in ("packed", "padded"))
    np.testing.assert_array_equal(rows[:, :2], of_padded[:, :2])
    np.testing.assert_allclose(rows, of_padded, atol=1e-3)


def test_tokens_get_their_own_logits(tiny_llama: Path) -> None:
    model = AutoModelForTokenClassification.from_pretrained(tiny_llama, num_labels=5).eval()
    kind = get_task_type("token-classification")
    ids = torch.randint(1, 1000, (3, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < torch.tensor([[9], [1], [4]])).long()
    with torch.no_grad():
        batch = Batch({"input_ids": ids, "attention_mask": mask}, torch.zeros(3, 9), 9)
        padded, packed = model(**batch.inputs).logits, packed_logits(model, batch, 0, per_token=True)
    assert packed.shape == padded.shape
    torch.testing.assert_close(packed[mask.bool()], padded[mask.bool()])
    assert can_pack(model, kind.dummy_batch(model.config, CLASSES, (4, 3)), 0)


def test_a_bidirectional_model_is_not_packed(tiny_bert: Path) -> None:
    kind = get_task_type("text-classification")
    base = load_base(BaseSpec(str(tiny_bert), kind.auto_model, kind.model_options(CLASSES)), 0)
    assert not can_pack(base, kind.dummy_batch(base.config, CLASSES, (4, 3)), 0)


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_virtual_tokens_are_not_packed(prepared: str, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WORTH_CHANGING", 1e9)
    assert not probed(prepared, method, tmp_path).packing


@pytest.mark.parametrize(("packed_seconds", "chosen"), [(0.5, True), (0.95, False), (1.2, False)])
def test_packing_is_taken_only_where_it_is_measured_faster(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed_seconds: float, chosen: bool
) -> None:
    real = timing.seconds_per_token

    def timed(loop: Any, batches: list[np.ndarray]) -> tuple[float, float]:
        real(loop, batches)  # it runs
        return (packed_seconds if loop.packs else 1.0), 0.0

    monkeypatch.setattr(timing, "seconds_per_token", timed)
    found = probed(prepared, "lora", tmp_path)
    assert found.packing is chosen
    assert found.fitting().get(PACKING, False) is chosen


def probed(prepared: str, method: str, out: Path) -> Probe:
    return Probe(
        **probe(TrainJob(prepared, Setup.of(method, get_method(method).prior(), 200), 0, str(out)).as_dict(), NullReporter())
    )
