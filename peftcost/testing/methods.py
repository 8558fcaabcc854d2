"""The contract of methods, to be run over one's own: derive a test class from it, and give it `trained`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from peftcost.core.setup import Setup
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.train_state import count_parameters, make_optimizer
from peftcost.methods import Method
from peftcost.methods.base import CannotMerge
from peftcost.methods.head import HEAD_NAMES
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes

STEPS = 10
OPTIONS = get_task_type("text-classification").model_options(Classes(("a", "b", "c")))


class Trained:
    """A method applied to a small model and trained for a few steps, with the values from before.

    folder: of the base. auto_model: the transformers class that builds it with a head. device: where it is trained.
    """

    def __init__(self, method: Method, folder: Path, auto_model: str, device: str = "cpu") -> None:
        self.method, self.folder, self.auto_model, self.device = method, folder, auto_model, device
        base = self.base()
        why = self.method.unsupported_reason(base.config)
        if why is not None:
            pytest.skip(why)
        choices = Setup.of(method.name, {**self.method.prior(), "learning_rate": 1e-2}, 160).hyperparameters
        torch.manual_seed(1)
        self.model = self.method.apply(base, choices, STEPS)
        self.placed(self.model)
        self.optimizer = make_optimizer(self.model, choices)
        self.model.eval()
        self.start = self.logits()
        self.before = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.train(range(STEPS))

    def base(self) -> PreTrainedModel:
        spec = BaseSpec(str(self.folder), self.auto_model, OPTIONS, quantization=self.method.quantization)
        return load_base(spec, 0, self.device if self.method.quantization else "cpu")

    def placed(self, model: torch.nn.Module) -> torch.nn.Module:
        """On the device, where a quantized base has been since it was loaded."""
        return model if self.method.quantization else model.to(self.device)

    def train(self, steps: range) -> None:
        self.model.train()
        for step in steps:
            torch.manual_seed(step)
            batch = inputs(self.device)
            logits = self.model(**batch).logits.float()
            targets = torch.arange(logits.reshape(-1, 3).shape[0], device=self.device) % 3
            loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 3), targets)
            penalty = self.method.penalty(self.model)
            (loss if penalty is None else loss + penalty).backward()
            self.optimizer.step()
            self.method.after_step(self.model, step)
            self.optimizer.zero_grad()
        self.model.eval()

    def logits(self, model: torch.nn.Module | None = None) -> torch.Tensor:
        with torch.inference_mode():
            return self.placed(model or self.model)(**inputs(self.device)).logits.float()


def inputs(device: str = "cpu") -> dict[str, torch.Tensor]:
    ids = torch.randint(1000, 20000, (4, 12), generator=torch.Generator().manual_seed(7))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


class MethodContract:
    """What every method holds to on every model that it does not refuse. The tests share one training, in this order."""

    @pytest.fixture(scope="class")
    def trained(self) -> Trained:
        """`Trained(method, folder of a small base, "AutoModelForSequenceClassification")`."""
        raise NotImplementedError

    def test_what_it_trains_is_what_changes(self, trained: Trained) -> None:
        changed = {n for n, p in trained.model.named_parameters() if not torch.equal(p, trained.before[n])}
        declared = {n for n, p in trained.model.named_parameters() if p.requires_grad}
        assert changed <= declared, "something frozen moved"
        still = {n for n in declared - changed if ".embeddings." not in n and "embed_tokens" not in n and "pooler" not in n}
        # Keys' biases cancel in the softmax; a pooler below a token classifier is not used.
        still = {n for n in still if not n.endswith(("key.bias", "ranknum.default"))}
        assert len(still) <= 0.35 * len(declared), f"what should have moved has not: {sorted(still)[:5]}"
        assert any(any(f".{head}." in f".{n}" for head in HEAD_NAMES) for n in changed), "the head was not trained"
        assert not torch.equal(trained.start, trained.logits())

    def test_trainable_parameters_are_counted_as_declared(self, trained: Trained) -> None:
        trainable, total = count_parameters(trained.model)
        assert trainable == sum(p.numel() for p in trained.model.parameters() if p.requires_grad)
        assert 0 < trainable <= total

    def test_saved_and_reloaded_gives_the_same_outputs(self, trained: Trained, tmp_path: Path) -> None:
        trained.method.save(trained.model, tmp_path)
        assert not list(tmp_path.rglob("*.bin")) + list(tmp_path.rglob("*.pt")), "pickle is never written"
        again = trained.method.load(trained.base(), tmp_path)
        torch.testing.assert_close(trained.logits(again), trained.logits(), atol=2e-5, rtol=1e-4)

    def test_checkpoint_state_comes_back(self, trained: Trained) -> None:
        state = {key: tensor.clone() for key, tensor in trained.method.state(trained.model).items()}
        trained.method.load_state(trained.model, state)
        again = trained.method.state(trained.model)
        assert state.keys() == again.keys()
        assert all(torch.equal(state[key].float(), again[key].float()) for key in state)

    def test_merges_with_the_same_outputs_or_says_that_it_cannot(self, trained: Trained) -> None:
        # Last: merging changes the model.
        expected = trained.logits()
        try:
            merged = trained.method.merge(trained.model)
        except CannotMerge as error:
            assert trained.method.name in str(error)
            return
        assert not [n for n, _ in merged.named_modules() if "lora" in n or "ia3" in n]
        tolerance = 5e-2 if trained.method.quantization == "int8" else 1e-5 if trained.device == "cpu" else 1e-3
        torch.testing.assert_close(trained.logits(merged.eval()), expected, atol=tolerance, rtol=tolerance)

    def test_its_prior_lies_in_its_space(self, trained: Trained) -> None:
        prior = trained.method.prior()
        for key, distribution in trained.method.space().items():
            assert distribution._contains(distribution.to_internal_repr(prior[key])), key
