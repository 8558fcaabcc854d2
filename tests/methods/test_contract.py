"""Every method holds to the contract that users' own are tested with; and what is one method's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from peftcost.core.setup import Setup
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.methods import get_method, methods
from peftcost.testing.methods import OPTIONS, MethodContract, Trained

TASKS = {
    "encoder": ("tiny_bert", "AutoModelForSequenceClassification"),
    "decoder": ("tiny_llama", "AutoModelForSequenceClassification"),
    "tokens": ("tiny_bert", "AutoModelForTokenClassification"),
}
CASES = [pytest.param((m, t, "cpu"), id=f"{m}-{t}") for m in methods() for t in TASKS]
ON_A_GPU = [pytest.param((m, t, "cuda"), id=f"{m}-{t}-cuda", marks=pytest.mark.gpu) for m in methods() for t in TASKS]


class TestEveryMethod(MethodContract):
    @pytest.fixture(scope="class", params=[*CASES, *ON_A_GPU])
    def trained(self, request: pytest.FixtureRequest) -> Trained:
        name, task, device = request.param
        fixture, auto_model = TASKS[task]
        return Trained(get_method(name), request.getfixturevalue(fixture), auto_model, device)


def test_adalora_shrinks_its_ranks_and_keeps_them_pruned(tiny_bert: Path, tmp_path: Path) -> None:
    trained = Trained(get_method("adalora"), tiny_bert, "AutoModelForSequenceClassification")
    pattern = trained.model.peft_config["default"].rank_pattern
    kept = sum(sum(ranks) for ranks in pattern.values())
    assert kept == trained.model.peft_config["default"].target_r * len(pattern)
    assert kept < sum(len(ranks) for ranks in pattern.values())
    trained.method.save(trained.model, tmp_path)
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(len(t) for name, t in saved.items() if name.endswith("lora_E")) == kept


def test_adalora_prunes_after_a_step_whose_gradients_overflowed(tiny_bert: Path) -> None:
    """The scaler of fp16 skips such a step; the importance of ranks goes on."""
    method, base = get_method("adalora"), load_base(BaseSpec(str(tiny_bert), TASKS["encoder"][1], OPTIONS), 0)
    model = method.apply(base, Setup.of("adalora", method.prior(), 160).hyperparameters, 40)
    adapter = {name: p for name, p in model.named_parameters() if ".lora_" in name}
    for step in range(40):
        for p in adapter.values():
            p.grad = torch.full_like(p, float("nan") if step == 2 else 0.1)
        method.after_step(model, step)
    assert all(score.isfinite().all() for score in model.base_model.rankallocator.exp_avg_ipt.values())
    config = model.peft_config["default"]
    kept = [sum(ranks) for ranks in config.rank_pattern.values()]
    assert sum(kept) == config.target_r * len(kept)


def test_lora_best_rate_prior_is_ten_times_that_of_full() -> None:
    assert get_method("lora").prior()["learning_rate"] == pytest.approx(10 * get_method("full").prior()["learning_rate"])


def test_quantized_methods_name_what_is_missing_on_apple_gpus() -> None:
    from transformers import BertConfig

    for name in ("int8-lora", "nf4-lora"):
        why = get_method(name).unsupported_reason(BertConfig(), "mps")
        assert why is not None
        assert "bitsandbytes" in why


@pytest.mark.parametrize("name", ["prompt", "prefix", "lora"])
def test_a_decoder_classifies_a_text_alike_alone_and_beside_a_longer_one(name: str, tiny_llama: Path) -> None:
    trained = Trained(get_method(name), tiny_llama, "AutoModelForSequenceClassification")
    ids, mask = torch.arange(5, 17).reshape(2, 6), torch.ones(2, 6, dtype=torch.long)
    ids[1, 4:], mask[1, 4:] = 0, 0
    with torch.no_grad():
        beside = trained.model(input_ids=ids, attention_mask=mask).logits[1]
        alone = trained.model(input_ids=ids[1:, :4], attention_mask=mask[1:, :4]).logits[0]
    assert torch.allclose(alone, beside, atol=1e-5)
