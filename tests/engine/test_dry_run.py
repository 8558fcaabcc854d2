"""What a base's forward pass would do on a GPU, found without one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version

from peftcost.engine import dry_run as module
from peftcost.engine.dry_run import stays_on_device
from peftcost.tasks.batch import Batch

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "pad_token_id": 0,
}
BUCKETS = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 4, "norm_rel_ebd": "layer_norm"}
TEXTS = Batch({name: torch.ones(2, 7, dtype=torch.long) for name in ("input_ids", "attention_mask")}, torch.zeros(2), 7)
PICTURES = Batch({"pixel_values": torch.ones(2, 3, 32, 32)}, torch.zeros(2), 5)
SOUNDS = Batch({"input_values": torch.ones(2, 8000)}, torch.zeros(2), 24)
EAGER_STAYS = pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.21"), reason="the mask of eager attention copies a number there"
)
OF_TEXTS = "AutoModelForSequenceClassification"


@pytest.mark.parametrize(
    ("config", "auto_model", "batch"),
    [
        (transformers.BertConfig(**SMALL), OF_TEXTS, TEXTS),
        pytest.param(transformers.MPNetConfig(**SMALL), OF_TEXTS, TEXTS, marks=EAGER_STAYS),
        (transformers.LlamaConfig(**SMALL), OF_TEXTS, TEXTS),
        (transformers.LlamaConfig(**SMALL), "AutoModelForCausalLM", TEXTS),
        (transformers.ViTConfig(**SMALL, image_size=32, patch_size=16), "AutoModelForImageClassification", PICTURES),
        (
            transformers.Wav2Vec2Config(**SMALL, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2),
            "AutoModelForAudioClassification",
            SOUNDS,
        ),
    ],
)
def test_usual_bases_stay_on_their_device(config: Any, auto_model: str, batch: Batch) -> None:
    assert stays_on_device(config, auto_model, batch)


def test_a_base_that_copies_a_number_in_each_forward_pass_is_known() -> None:
    assert not stays_on_device(transformers.DebertaV2Config(**SMALL, **BUCKETS), OF_TEXTS, TEXTS)


def test_a_base_that_makes_a_number_on_its_device_is_known() -> None:
    small = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 50, "max_position_embeddings": 32}
    config = transformers.GPTNeoConfig(**small, attention_types=[[["global", "local"], 1]], pad_token_id=0)
    assert not stays_on_device(config, "AutoModelForCausalLM", TEXTS)


class Maker(transformers.BertForSequenceClassification):
    """Makes a tensor in its forward pass, which the base does not."""

    made: Any = None

    def forward(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
        type(self).made(input_ids)
        return super().forward(input_ids, **inputs)


@pytest.mark.parametrize(
    ("made", "stays"),
    [
        (lambda ids: torch.tensor(3.0, device=ids.device), False),
        (lambda ids: torch.as_tensor([1, 2], device=ids.device), False),
        (lambda ids: ids.new_tensor([1]), False),
        (lambda ids: torch.full((2,), 3.0, device=ids.device), True),
        (lambda ids: torch.as_tensor(ids), True),
        (lambda ids: torch.tensor([], device=ids.device), True),
        (lambda ids: ids.float() * torch.tensor(3.0), True),
    ],
)
def test_numbers_may_become_tensors_of_the_cpu_alone(made: Any, stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Maker, "made", staticmethod(made))
    monkeypatch.setattr(transformers, "Maker", SimpleNamespace(from_config=lambda c, dtype: Maker(c)), raising=False)
    module._stays_on_device.cache_clear()
    assert stays_on_device(transformers.BertConfig(**SMALL), "Maker", TEXTS) == stays


def test_a_base_that_cannot_be_run_without_numbers_is_left_alone() -> None:
    assert not stays_on_device(transformers.MixtralConfig(**SMALL, num_key_value_heads=2), OF_TEXTS, TEXTS)


def test_no_random_number_is_drawn() -> None:
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    stays_on_device(transformers.BertConfig(**SMALL, layer_norm_eps=1e-6), OF_TEXTS, TEXTS)
    assert torch.rand(1) == first
