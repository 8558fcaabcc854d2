"""How a base computes attention: by transformers' choice, or as it is measured to be faster on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version

from peftcost.core.setup import ATTENTION, Setup
from peftcost.cost.machines import needed_bytes
from peftcost.cost.model import Probe
from peftcost.engine import attention, probe
from peftcost.engine.attention import EAGER, FLASH, VARLEN, attention_of, fastest, others_worth_timing, settled
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.cuda_graphs import unsupported_reason
from peftcost.engine.dataset import load_dataset_info
from peftcost.engine.dry_run import stays_on_device
from peftcost.engine.estimate import estimated, peak_bytes_of
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.precision import on_gpu
from peftcost.engine.train import train
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method
from peftcost.searcher.planner import attending_alike
from peftcost.tasks.batch import Batch

HALF = {"weights": "bf16"}


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture
def job(prepared: str, tmp_path: Path) -> TrainJob:
    setup = Setup.of("lora", get_method("lora").prior(), 64)
    return TrainJob(prepared, setup, 0, str(tmp_path), predicted_peak_bytes=10, attentions={EAGER: 20, FLASH: 10})


def test_the_usual_one_stays_unless_another_is_faster_by_more_than_noise() -> None:
    assert fastest({"sdpa": 1.0, EAGER: 0.98}, "sdpa") == "sdpa"
    assert fastest({"sdpa": 1.0, EAGER: 0.9}, "sdpa") == EAGER
    assert fastest({"sdpa": 1.0, EAGER: 0.9, FLASH: 0.8}, "sdpa") == FLASH
    assert fastest({"sdpa": 1.0}, "sdpa") == "sdpa"


def test_what_is_worth_timing() -> None:
    def others(
        tokens: int = 32, peak: int = 10, eager: int | None = 20, per_position: bool = False, **choices: Any
    ) -> dict[str, int]:
        others = {EAGER: eager, VARLEN: 9}
        return others_worth_timing({"precision": "fp32", **choices}, tokens, per_position, peak, others.__getitem__)

    assert others(**HALF) == {EAGER: 20, FLASH: 10}
    assert others(per_position=True, precision="bf16", **HALF) == {EAGER: 20, VARLEN: 9, FLASH: 10}
    assert others(per_position=True) == {EAGER: 20}, "torch's kernel has no fp32"
    assert others(tokens=512, **HALF) == {FLASH: 10}
    assert others(eager=None, **HALF) == {FLASH: 10}, "it does not fit"
    assert others() == {EAGER: 20}, "no flash-attention in fp32, in which the base is held"
    assert others(top_layers=0, **HALF) == {}, "there is no backward pass"
    assert others(attention="sdpa", **HALF) == {}, "it was chosen"


def base_of(folder: Path, name: str | None = None) -> Any:
    return load_base(BaseSpec(str(folder), "AutoModelForSequenceClassification", {}, attention=name), 0)


def test_the_fastest_that_the_base_takes_here_is_chosen_and_used(job: TrainJob, tiny_bert: Path) -> None:
    base, tried = base_of(tiny_bert), []

    def seconds() -> float:
        tried.append(attention_of(base.config))
        return {"sdpa": 1.0, EAGER: 0.5}[tried[-1]]

    found = settled(job, base, seconds)
    assert tried == ["sdpa", EAGER], "flash-attention is not for CPUs"
    assert (found.setup.hyperparameters[ATTENTION], found.predicted_peak_bytes, found.attentions) == (EAGER, 20, {})
    assert attention_of(base.config) == EAGER


def test_one_that_fails_or_is_slower_leaves_all_as_it_was(job: TrainJob, tiny_bert: Path) -> None:
    base = base_of(tiny_bert)

    def fails() -> float:
        if attention_of(base.config) == EAGER:
            raise torch.OutOfMemoryError("too much")
        return 1.0

    for seconds in (fails, lambda: 1.0):
        found = settled(job, base, seconds)
        assert (found.setup, found.predicted_peak_bytes, found.attentions) == (job.setup, 10, {})
        assert attention_of(base.config) == "sdpa"


def test_what_is_not_installed_here_is_transformers_choice(tiny_bert: Path) -> None:
    assert attention_of(base_of(tiny_bert, FLASH).config) == "sdpa", "a GPU's recipe on a CPU"
    assert attention_of(base_of(tiny_bert, EAGER).config) == EAGER


def test_a_probe_settles_it_and_trainings_use_it(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch, on_cpu: None, prepared: str
) -> None:
    monkeypatch.setattr(attention, "fastest", lambda times, usual: min(times, key=lambda name: name != EAGER))
    found = Probe(**probe.probe(job.as_dict(), NullReporter()))
    assert (found.attention, found.predicted_peak_bytes) == (EAGER, 20)
    setup = Setup.of("lora", {**get_method("lora").prior(), **found.fitting()}, 64)
    assert setup.memory_key == found.memory_key
    assert attention_of(built(setup, prepared).plain.config) == EAGER  # type: ignore[arg-type]


def test_a_cpu_measures_nothing(job: TrainJob, monkeypatch: pytest.MonkeyPatch, on_cpu: None) -> None:
    monkeypatch.setattr(probe, "settled", lambda *_: pytest.fail("it was measured"))
    found = Probe(**probe.probe(replace(job, attentions={}).as_dict(), NullReporter()))
    assert ATTENTION not in found.fitting()


def test_estimates_for_a_gpu_say_what_to_time_and_what_eager_keeps(job: TrainJob) -> None:
    asked = replace(job, attentions={}, memory_bytes=10**10)
    found = estimated(asked, computes_in_bf16=True)["job"]
    assert set(found["attentions"]) == {EAGER, FLASH}
    assert peak_bytes_of(found, NullReporter()) == {"peak_bytes": found["predicted_peak_bytes"]}
    assert found["attentions"][EAGER] > found["attentions"][FLASH] == found["predicted_peak_bytes"]
    barely = replace(asked, memory_bytes=needed_bytes(found["predicted_peak_bytes"], "cuda"))
    assert set(estimated(barely, computes_in_bf16=True)["job"]["attentions"]) == {FLASH}, "eager does not fit"


def test_once_a_base_is_enough(job: TrainJob) -> None:
    plain = job.as_dict()
    jobs = dict.fromkeys(("lora", "ia3", "nf4-lora"), plain) | {"full": {**plain, "attentions": {EAGER: 20}}}
    told = attending_alike(jobs, "lora", ["ia3", "full"], FLASH)
    assert list(told) == ["ia3"], "full has another choice"
    assert (told["ia3"]["setup"]["hyperparameters"][ATTENTION], told["ia3"]["attentions"]) == (FLASH, {})
    assert ATTENTION not in attending_alike(jobs, "lora", ["ia3"], None)["ia3"]["setup"]["hyperparameters"]
    two_bases = dict.fromkeys(("lora on a", "lora on b"), plain)
    assert attending_alike(two_bases, "lora on a", ["lora on b"], FLASH) == {}, "another base"


def built(setup: Setup, prepared: str) -> TrainState:
    return build(setup, 0, load_dataset_info(Path(prepared)), 4)


def test_flash_attention_is_not_captured(prepared: str, monkeypatch: pytest.MonkeyPatch, on_cpu: None) -> None:
    train_state = built(Setup.of("lora", get_method("lora").prior(), 64), prepared)
    monkeypatch.setattr(TrainState, "device", torch.device("cuda"))
    assert unsupported_reason(train_state) is None
    train_state.plain.config._attn_implementation_internal = FLASH  # type: ignore[union-attr]
    assert "padding" in str(unsupported_reason(train_state))


def test_the_dry_run_looks_at_the_attention_that_is_used() -> None:
    small: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50}
    config = transformers.BertConfig(**small, intermediate_size=32, attn_implementation=EAGER)
    texts = {name: torch.ones(2, 7, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    mask_copies_a_number = Version(transformers.__version__) < Version("5.21")
    stays = stays_on_device(config, "AutoModelForSequenceClassification", Batch(texts, torch.zeros(2), 7))
    assert stays == (not mask_copies_a_number)


@pytest.fixture
def on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    yield
    torch.cuda.empty_cache()


@pytest.mark.gpu
@pytest.mark.parametrize("name", [EAGER, FLASH])
def test_another_attention_trains_to_the_same(prepared: str, tmp_path: Path, on_the_gpu: None, name: str) -> None:
    if not attention.is_installed(name, "cuda"):
        pytest.skip("flash_attn is not installed")
    method, found = get_method("lora"), []
    for choices in ({}, {ATTENTION: name}):
        setup = Setup.of("lora", {**method.prior(), **on_gpu(method, True), "dropout": 0.0, **choices}, 320)
        out = tmp_path / str(len(found))
        out.mkdir()
        found.append(train(TrainJob(prepared, setup, 3, str(out)), NullReporter()))
    assert found[1]["dev_loss"] == pytest.approx(found[0]["dev_loss"], rel=2e-2)


@pytest.mark.gpu
def test_a_probe_times_attention_and_leaves_its_process_well(job: TrainJob, on_the_gpu: None) -> None:
    asked = estimated(replace(job, attentions={}, memory_bytes=10**10), computes_in_bf16=True)["job"]
    found = Probe(**probe.probe(asked, NullReporter()))
    assert found.attention in (None, EAGER, FLASH)
    torch.cuda.synchronize()  # a failed kernel would be told here
