"""How texts lie in a GPU's steps: what leaves the mask out trains as what has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from talk import prepared_talk
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MistralConfig

from peftcost.core.setup import Setup
from peftcost.engine import layout, step_estimate
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.cuda_graphs import unsupported_reason
from peftcost.engine.dataset import load_dataset_info
from peftcost.engine.fitting import estimate_of
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.layout import MASK, goes_without_mask
from peftcost.engine.source import forward
from peftcost.engine.train import train
from peftcost.engine.train_pack import train_pack
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method
from peftcost.tasks import get_task_type
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Tokens

BATCH, STEPS = 8, 24
IN_BF16 = {"precision": "bf16"}


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture(scope="module")
def talk(tiny_chat_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared_talk(tiny_chat_lm, tmp_path_factory.mktemp("talk"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Lets steps on a CPU leave the mask out as a GPU's do; the names of the inputs of each."""
    names: list[set[str]] = []
    plain = layout.without_mask

    def told(batch: Batch) -> Batch:
        found = plain(batch)
        names.append(set(found.inputs))
        return found

    def unmasked(self: TrainState) -> bool:
        return goes_without_mask(self.plain, self.method, {**self.choices, **IN_BF16})

    monkeypatch.setattr(TrainState, "unmasked", property(unmasked))
    monkeypatch.setattr("peftcost.engine.step_times._can_pack", lambda loop: False)  # as on a GPU
    for where in ("train_state", "pack"):
        monkeypatch.setattr(f"peftcost.engine.{where}.without_mask", told)
    return names


def job(prepared: str, out: Path, method: str = "lora", **choices: Any) -> TrainJob:
    out.mkdir()
    still = {"dropout": 0.0, "batch_size": BATCH, "learning_rate": 2e-3}
    setup = Setup.of(method, {**get_method(method).prior(), **still, **choices}, STEPS * BATCH)
    return TrainJob(prepared, setup, 3, str(out))


SETUPS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("lora", {"micro_batch_size": 3}),
    ("lora", {"top_layers": 1}),
    ("adalora", {}),
    ("frozen", {"top_layers": 1}),
]


@pytest.mark.parametrize(("method", "choices"), SETUPS, ids=str)
def test_steps_without_a_mask_train_as_with_one(
    talk: str, tmp_path: Path, request: pytest.FixtureRequest, method: str, choices: dict[str, Any]
) -> None:
    masked = train(job(talk, tmp_path / "masked", method, **choices), NullReporter())
    seen = request.getfixturevalue("seen")
    found = train(job(talk, tmp_path / "unmasked", method, **choices), NullReporter())
    assert seen
    assert all(MASK not in names for names in seen)
    for name in ("train_loss", "dev_loss"):
        assert found[name] == pytest.approx(masked[name], rel=1e-4)


def test_members_of_a_pack_train_without_a_mask_as_alone_with_one(
    talk: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kinds = [{"rank": rank} for rank in (4, 8)]
    alone = [train(job(talk, tmp_path / f"alone{i}", **kind), NullReporter()) for i, kind in enumerate(kinds)]
    seen = request.getfixturevalue("seen")
    jobs = [job(talk, tmp_path / f"pack{i}", **kind).as_dict() for i, kind in enumerate(kinds)]
    together = train_pack({"jobs": jobs}, NullReporter())["members"]
    assert seen
    for own, of_pack in zip(alone, together, strict=True):
        assert of_pack["result"]["dev_loss"] == pytest.approx(own["dev_loss"], rel=1e-4)


def test_what_needs_its_mask(tiny_chat_lm: Path, tiny_bert: Path, tiny_bart: Path, talk: str, tmp_path: Path) -> None:
    def goes(folder: Path, task: str = "causal-lm", method: str = "lora", **changed: Any) -> bool:
        own, kind = get_method(method), get_task_type(task)
        base = load_base(BaseSpec(str(folder), kind.auto_model, {}), 0)
        choices = Setup.of(method, {**own.prior(), **IN_BF16, **changed}, 8).hyperparameters
        return goes_without_mask(own.apply(base, choices, 8), own, choices)

    assert goes(tiny_chat_lm)
    assert not goes(tiny_chat_lm, precision="fp32"), "no flash kernel"
    assert not goes(tiny_chat_lm, packing=True), "texts are found by it"
    assert not goes(tiny_chat_lm, method="prompt"), "PEFT finds the last token by it"
    assert not goes(tiny_bert, "text-classification"), "it sees what stands behind"
    assert not goes(tiny_bart, "seq2seq"), "its encoder does"
    info = load_dataset_info(Path(talk))
    on_cpu = build(job(talk, tmp_path / "out", precision="bf16").setup, 0, info, 8)
    assert not on_cpu.unmasked, "on a CPU all is as before"


def test_memory_is_estimated_without_copies_of_shared_keys(talk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    info = load_dataset_info(Path(talk))
    config = AutoConfig.from_pretrained(info.model, num_attention_heads=8, num_key_value_heads=1)
    choices = Setup.of("lora", {**get_method("lora").prior(), **IN_BF16}, 8).hyperparameters

    def peak_bytes(kind: str) -> int:
        return estimate_of(config, info.task_type, "lora", choices, 64, info.targets, kind).peak_bytes

    unmasked, on_cpu = peak_bytes("cuda"), peak_bytes("cpu")
    monkeypatch.setattr(step_estimate, "goes_without_mask", lambda *_: False)
    assert unmasked < peak_bytes("cuda")
    assert on_cpu == peak_bytes("cpu"), "there the mask stays"


@pytest.mark.parametrize("use_cache", [False, True])
def test_no_mask_is_made_while_a_graph_is_captured(use_cache: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers reads no numbers then, and makes a mask to be sure."""
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_key_value_heads=2, num_attention_heads=4
    )
    config.use_cache = use_cache
    model, masks = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa"), []
    plain = torch.nn.functional.scaled_dot_product_attention

    def told(*tensors: torch.Tensor, attn_mask: Any = None, **options: Any) -> torch.Tensor:
        masks.append(attn_mask)
        return plain(*tensors, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", told)
    monkeypatch.setattr("transformers.utils.import_utils.is_cuda_stream_capturing", lambda: True)
    kind = get_task_type("causal-lm")
    batch = kind.two_rows(config, Tokens())
    forward(model, batch)
    forward(model, layout.without_mask(batch))
    assert [mask is None for mask in masks] == [False, True]
    sliding = AutoModelForCausalLM.from_config(MistralConfig(**{**config.to_dict(), "sliding_window": 2}))
    forward(sliding, layout.without_mask(batch))
    assert masks[-1] is not None, "no kernel has its window"


@pytest.mark.gpu
def test_a_gpu_steps_without_a_mask(talk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    one = job(talk, tmp_path / "unmasked", precision="bf16", weights="bf16")
    train_state = build(one.setup, 0, load_dataset_info(Path(talk)), 8)
    assert train_state.unmasked
    assert unsupported_reason(train_state) is None
    found = train(one, NullReporter())
    monkeypatch.setattr(TrainState, "unmasked", False)
    masked = train(job(talk, tmp_path / "masked", precision="bf16", weights="bf16"), NullReporter())
    assert found["dev_loss"] == pytest.approx(masked["dev_loss"], rel=2e-3)
