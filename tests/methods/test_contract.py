"""The contract that every registered method keeps, on an encoder and a decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from peftcost.core.setup import Setup
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.train_state import count_parameters, make_optimizer
from peftcost.methods import CannotMerge, get_method, methods
from peftcost.methods.head import HEAD_NAMES

STEPS = 10
LABELS = ["a", "b", "c"]
TASKS = {
    "encoder": ("tiny_bert", "AutoModelForSequenceClassification"),
    "decoder": ("tiny_llama", "AutoModelForSequenceClassification"),
    "tokens": ("tiny_bert", "AutoModelForTokenClassification"),
}


class Trained:
    """A method applied to a tiny model and trained for a few steps, with the values from before."""

    def __init__(self, name: str, folder: Path, auto_model: str) -> None:
        self.name, self.folder, self.auto_model = name, folder, auto_model
        self.method = get_method(name)
        base = self.base()
        why = self.method.unsupported_reason(base.config)
        if why is not None:
            pytest.skip(why)
        choices = Setup.of(name, {**self.method.prior(), "learning_rate": 1e-2}, 160).hyperparameters
        torch.manual_seed(1)
        self.model = self.method.apply(base, choices, STEPS)
        self.optimizer = make_optimizer(self.model, choices)
        self.model.eval()
        self.start = self.logits()
        self.before = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.train(range(STEPS))

    def base(self) -> torch.nn.Module:
        return load_base(BaseSpec(str(self.folder), self.auto_model, tuple(LABELS), quantization=self.method.quantization), 0)

    def train(self, steps: range) -> None:
        self.model.train()
        for step in steps:
            torch.manual_seed(step)
            batch = inputs()
            logits = self.model(**batch).logits.float()
            targets = torch.arange(logits.reshape(-1, 3).shape[0]) % 3
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 3), targets)
            penalty = self.method.penalty(self.model)
            (loss if penalty is None else loss + penalty).backward()
            self.optimizer.step()
            self.method.after_step(self.model, step)
            self.optimizer.zero_grad()
        self.model.eval()

    def logits(self, model: torch.nn.Module | None = None) -> torch.Tensor:
        with torch.inference_mode():
            return (model or self.model)(**inputs()).logits.float()


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(1000, 20000, (4, 12), generator=torch.Generator().manual_seed(7))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module", params=[(m, t) for m in methods() for t in TASKS], ids=lambda p: f"{p[0]}-{p[1]}")
def trained(request: pytest.FixtureRequest) -> Trained:
    name, task = request.param
    fixture, auto_model = TASKS[task]
    return Trained(name, request.getfixturevalue(fixture), auto_model)


def test_what_it_trains_is_what_changes(trained: Trained) -> None:
    changed = {n for n, p in trained.model.named_parameters() if not torch.equal(p, trained.before[n])}
    declared = {n for n, p in trained.model.named_parameters() if p.requires_grad}
    assert changed <= declared, "something frozen moved"
    still = {n for n in declared - changed if ".embeddings." not in n and "embed_tokens" not in n and "pooler" not in n}
    # Keys' biases cancel in the softmax; a pooler below a token classifier is not used.
    still = {n for n in still if not n.endswith(("key.bias", "ranknum.default"))}
    assert len(still) <= 0.35 * len(declared), f"what should have moved has not: {sorted(still)[:5]}"
    assert any(any(f".{head}." in f".{n}" for head in HEAD_NAMES) for n in changed), "the head was not trained"
    assert not torch.equal(trained.start, trained.logits())


def test_trainable_parameters_are_counted_as_declared(trained: Trained) -> None:
    trainable, total = count_parameters(trained.model)
    assert trainable == sum(p.numel() for p in trained.model.parameters() if p.requires_grad)
    assert 0 < trainable <= total


def test_saved_and_reloaded_gives_the_same_outputs(trained: Trained, tmp_path: Path) -> None:
    trained.method.save(trained.model, tmp_path)
    assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt")), "pickle is never written"
    again = trained.method.load(trained.base(), tmp_path)
    torch.testing.assert_close(trained.logits(again), trained.logits(), atol=2e-5, rtol=1e-4)


def test_checkpoint_state_comes_back(trained: Trained) -> None:
    state = {key: tensor.clone() for key, tensor in trained.method.state(trained.model).items()}
    trained.method.load_state(trained.model, state)
    again = trained.method.state(trained.model)
    assert state.keys() == again.keys()
    assert all(torch.equal(state[key].float(), again[key].float()) for key in state)


def test_merges_with_the_same_outputs_or_says_that_it_cannot(trained: Trained) -> None:
    # Last: merging changes the model.
    expected = trained.logits()
    try:
        merged = trained.method.merge(trained.model)
    except CannotMerge as error:
        assert trained.name in str(error)
        return
    assert not [n for n, _ in merged.named_modules() if "lora" in n or "ia3" in n]
    tolerance = 5e-2 if trained.method.quantization == "int8" else 1e-5
    torch.testing.assert_close(trained.logits(merged.eval()), expected, atol=tolerance, rtol=tolerance)


def test_priors_lie_in_their_spaces() -> None:
    for name, method in methods().items():
        prior = method.prior()
        for key, distribution in method.space().items():
            assert distribution._contains(distribution.to_internal_repr(prior[key])), f"{name}.{key}"


def test_adalora_shrinks_its_ranks_and_keeps_them_pruned(tiny_bert: Path, tmp_path: Path) -> None:
    trained = Trained("adalora", tiny_bert, "AutoModelForSequenceClassification")
    pattern = trained.model.peft_config["default"].rank_pattern
    kept = sum(sum(ranks) for ranks in pattern.values())
    assert kept == trained.model.peft_config["default"].target_r * len(pattern)
    assert kept < sum(len(ranks) for ranks in pattern.values())
    trained.method.save(trained.model, tmp_path)
    from safetensors.torch import load_file

    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(len(t) for name, t in saved.items() if name.endswith("lora_E")) == kept


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
    trained = Trained(name, tiny_llama, "AutoModelForSequenceClassification")
    ids, mask = torch.arange(5, 17).reshape(2, 6), torch.ones(2, 6, dtype=torch.long)
    ids[1, 4:], mask[1, 4:] = 0, 0
    with torch.no_grad():
        beside = trained.model(input_ids=ids, attention_mask=mask).logits[1]
        alone = trained.model(input_ids=ids[1:, :4], attention_mask=mask[1:, :4]).logits[0]
    assert torch.allclose(alone, beside, atol=1e-5)
