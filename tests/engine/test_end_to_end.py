"""Texts that lie end to end in one row train as in rows: a GPU's steps of a language model. torch's kernel is for GPUs alone;
on a CPU another computes what it is said to compute."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from talk import BATCH, prepared_talk, talk_job
from torch.nn.attention.varlen import varlen_attn
from transformers import AutoModelForCausalLM as Lm
from transformers import (
    JambaConfig,
    Lfm2Config,
    LlamaConfig,
    MistralConfig,
    NemotronConfig,
    RecurrentGemmaConfig,
    modeling_flash_attention_utils,
)
from uncaptured import Uncaptured, captures_on_cpu

from peftcost.core.setup import Setup
from peftcost.cost.model import Probe
from peftcost.engine import attention, base_model, cuda_graphs, layout, probe, varlen
from peftcost.engine import train_state as train_state_module
from peftcost.engine.attention import FLASH, VARLEN, attention_of
from peftcost.engine.cuda_graphs import Extent, plan_shapes
from peftcost.engine.dataset import batches_from, batches_of_epoch, load_dataset_info, load_split
from peftcost.engine.dry_run import stays_on_device
from peftcost.engine.estimate import peak_bytes_with
from peftcost.engine.fitting import job_estimate, largest_form
from peftcost.engine.job import NullReporter
from peftcost.engine.layout import ENDS, MASK, arguments, end_to_end, goes_without_mask, keeps_apart
from peftcost.engine.schedule import StepPlan
from peftcost.engine.train import Loop, train
from peftcost.engine.train_pack import train_pack
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method
from peftcost.tasks import get_task_type
from peftcost.tasks.base import IGNORED
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Tokens

KIND = get_task_type("causal-lm")


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    _: torch.Tensor,
    longest: int,
    __: int,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """As torch documents `varlen_attn`, of shape (tokens, heads, width)."""
    out = []
    assert ends[0] == 0 and ends[-1] == len(query) and ends.dtype == torch.int32
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        assert end - start <= longest
        q, k, v = (tensor[start:end].transpose(0, 1)[None] for tensor in (query, key, value))
        at = torch.arange(end - start)
        behind = at[:, None] - at
        seen = (behind >= 0) & ((behind <= window_size[0]) | (window_size[0] < 0))
        found = torch.nn.functional.scaled_dot_product_attention(q, k, v, seen, scale=scale, enable_gqa=enable_gqa)
        out.append(found[0].transpose(0, 1))
    return torch.cat(out)


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(varlen, "varlen_attn", kernel)


@pytest.fixture(scope="module")
def talk(tiny_chat_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared_talk(tiny_chat_lm, tmp_path_factory.mktemp("talk"))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a CPU do without masks, and have what is for GPUs."""

    def unmasked(self: TrainState) -> bool:
        return goes_without_mask(self.plain, self.method, self.choices)

    monkeypatch.setattr(TrainState, "unmasked", property(unmasked))
    monkeypatch.setattr(layout, "takes_no_mask", lambda method, choices: True)  # also in fp32
    monkeypatch.setattr("peftcost.engine.step_times._can_pack", lambda loop: False)
    for module in (attention, base_model):
        monkeypatch.setattr(module, "is_installed", lambda name, device: name != FLASH)


SETUPS: list[tuple[str, dict[str, Any]]] = [
    ("full", {}),
    ("lora", {}),
    ("lora", {"micro_batch_size": 3}),
    ("adalora", {"micro_batch_size": 4}),
    ("ia3", {}),
]


@pytest.mark.parametrize(("method", "choices"), SETUPS, ids=str)
def test_texts_end_to_end_train_as_in_rows(
    talk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, method: str, choices: Any
) -> None:
    monkeypatch.setattr(Extent, "sorted_by", property(lambda extent: np.zeros_like(extent.lengths)))  # the same batches
    found = [train(talk_job(talk, tmp_path / "rows", method, **choices), NullReporter())]
    request.getfixturevalue("as_on_a_gpu")
    switch = captures_on_cpu(monkeypatch)
    for how in ("eager", "captured"):
        switch(how == "captured")
        found.append(train(talk_job(talk, tmp_path / how, method, **choices, attention=VARLEN), NullReporter()))
    for name in ("train_loss", "dev_loss"):
        assert [one[name] for one in found[1:]] == pytest.approx([found[0][name]] * 2, rel=1e-4)
    pays = [pays for _, pays, _ in Uncaptured.ran]
    assert sum(pays) > 0.75 * len(pays) > 0, "most steps are captured"
    assert len({shapes for _, pays, shapes in Uncaptured.ran if pays}) <= cuda_graphs.MOST_GRAPHS
    assert all(shapes[0][0] == 1 for *_, shapes in Uncaptured.ran), "one row"


@given(st.lists(st.integers(8, 300), min_size=64, max_size=200), st.sampled_from([4, 8, 16]))
def test_fewer_positions_are_padded(lengths: list[int], rows: int) -> None:
    """Of batches of an epoch that are captured eight times over."""
    computed = []
    for extent in (Extent(np.array(lengths), 512), Extent(np.array(lengths), 512, end_to_end=True)):
        batches = batches_of_epoch(extent.sorted_by, rows, 0, 0)
        shapes = plan_shapes([[batch] for batch in batches], extent, 8 * len(batches))
        forms = [shapes.fit(*extent([batch]))[0] for batch in batches]
        computed.append(
            sum(width * (1 if extent.end_to_end else len(one)) for width, one in zip(forms, batches, strict=True))
        )
    assert sum(lengths) <= computed[1] <= computed[0]


def test_members_of_a_pack_train_as_alone(
    talk: str, tmp_path: Path, as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = [{"rank": rank, "attention": VARLEN} for rank in (4, 8)]
    alone = [train(talk_job(talk, tmp_path / f"alone{i}", **kind), NullReporter()) for i, kind in enumerate(kinds)]
    switch = captures_on_cpu(monkeypatch)
    for how in ("eager", "captured"):
        switch(how == "captured")
        jobs = [replace(talk_job(talk, tmp_path / f"{how}{i}", **kind), seed=3) for i, kind in enumerate(kinds)]
        together = train_pack({"jobs": [one.as_dict() for one in jobs]}, NullReporter())["members"]
        for own, of_pack in zip(alone, together, strict=True):
            assert of_pack["result"]["dev_loss"] == pytest.approx(own["dev_loss"], rel=1e-4)
    packs = [shapes for _, pays, shapes in Uncaptured.ran if pays and shapes[0][0] == 2]
    assert packs, "a row for each member"


TEXTS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@given(TEXTS, st.integers(0, 90), st.integers(12, 20))
def test_rows_are_laid_out_whole_and_filled_up_with_what_does_not_count(lengths: list[int], width: int, longest: int) -> None:
    rows, most = len(lengths), max(lengths)
    generator = torch.Generator().manual_seed(sum(lengths))
    ids = torch.randint(1, 99, (rows, most), generator=generator)
    mask = (torch.arange(most) < torch.tensor(lengths)[:, None]).long()
    counts = (torch.rand(rows, most, generator=generator) < 0.5) & mask.bool()
    targets = torch.where(counts, ids, IGNORED)
    wanted = torch.nn.functional.pad(targets[:, 1:], (0, 1), value=IGNORED)
    kept = (wanted != IGNORED).flatten().nonzero().flatten()
    batch = Batch({"input_ids": ids, MASK: mask}, targets, most, kept=kept)
    laid = end_to_end(batch, width, longest)
    n = sum(lengths)
    assert laid.width == max(width, n)
    assert laid.examples == rows and laid.rows == 1
    assert {tensor.shape[1] for name, tensor in laid.inputs.items() if name != ENDS} == {laid.width}
    (ends,) = laid.inputs[ENDS].tolist()
    assert ends[: rows + 1] == [sum(lengths[:i]) for i in range(rows + 1)]
    sizes = [b - a for a, b in zip(ends, ends[1:], strict=False)]
    assert ends[-1] == laid.width and all(0 <= size <= longest for size in sizes)
    assert laid.inputs["position_ids"][0].tolist() == [i for size in sizes for i in range(size)]
    assert laid.inputs["input_ids"][0, :n].tolist() == ids[mask.bool()].tolist()
    assert laid.kept is not None
    assert laid.inputs["input_ids"][0, laid.kept].tolist() == ids.flatten()[kept].tolist()
    assert KIND.wanted(laid)[0, laid.kept].tolist() == wanted.flatten()[kept].tolist()  # type: ignore[attr-defined]
    assert int((KIND.wanted(laid) != IGNORED).sum()) == len(kept)  # type: ignore[attr-defined]
    less = Batch({name: tensor[:1] for name, tensor in batch.inputs.items()}, targets[:1], most, kept=kept[kept < most])
    shapes = {end_to_end(one, 90, longest, 8).inputs[ENDS].shape for one in (batch, less)}
    assert len(shapes) == 1, "one shape for a graph"


SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS = [LlamaConfig(**SMALL), MistralConfig(**SMALL, sliding_window=3, head_dim=8)]


@pytest.mark.parametrize("config", CONFIGS, ids=["shared keys", "sliding window"])
def test_a_model_keeps_texts_apart(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    in_rows = Lm.from_config(copy.deepcopy(config), attn_implementation="sdpa")
    laid = Lm.from_config(copy.deepcopy(config), attn_implementation=VARLEN)
    laid.load_state_dict(in_rows.state_dict())
    batch = KIND.dummy_batch(config, Tokens(), (9, 4, 7))
    with torch.no_grad():
        one, other = in_rows(**batch.inputs).logits, laid(**arguments(end_to_end(batch, 32, 9))).logits
        torch.testing.assert_close(laid(**batch.inputs).logits, one)  # with its mask, as when it is evaluated
        no_mask = laid(input_ids=batch.inputs["input_ids"]).logits
    real = batch.inputs[MASK].bool()
    torch.testing.assert_close(other[0, :20], one[real], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(no_mask[real], one[real], rtol=1e-4, atol=1e-5)
    assert keeps_apart(laid, KIND.two_rows(config, Tokens()))
    for module in laid.modules():
        module.attention_dropout = 0.1
    assert not keeps_apart(laid, KIND.two_rows(config, Tokens())), "the kernel drops nothing"
    for module in laid.modules():
        module.attention_dropout = 0.0

    def mixes(query: Any, key: Any, value: Any, ends: Any, *others: Any, **options: Any) -> torch.Tensor:
        return kernel(query, key, value, ends[[0, -1]], ends, len(query), 0, **options)

    monkeypatch.setattr(varlen, "varlen_attn", mixes)
    assert not keeps_apart(laid, KIND.two_rows(config, Tokens()))


MIXERS = [
    JambaConfig(**SMALL, mamba_d_state=4, mamba_dt_rank=4, num_experts=2, use_mamba_kernels=False),
    Lfm2Config(**SMALL, layer_types=["conv", "full_attention"]),
    RecurrentGemmaConfig(**{**SMALL, "num_hidden_layers": 3}, head_dim=8, lru_width=32),
]


@pytest.mark.parametrize("config", MIXERS, ids=lambda config: config.model_type)
def test_what_mixes_tokens_otherwise_stays_in_rows(config: Any) -> None:
    torch.manual_seed(0)
    model = Lm.from_config(copy.deepcopy(config))
    model._supports_flash_attn = True  # as if it were no hint
    with contextlib.suppress(ValueError):
        model.set_attn_implementation(VARLEN)
    assert not keeps_apart(model, KIND.two_rows(config, Tokens()))


def test_flash_attention_gets_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers calls the package, which is not installed."""

    def flash(
        q: Any, k: Any, v: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, max_seqlen_q: int, **options: Any
    ) -> torch.Tensor:
        assert cu_seqlens_q is cu_seqlens_k and options["causal"]
        window = options.get("window_size", (-1, -1))
        return kernel(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, 0, options["softmax_scale"], window, enable_gqa=True)

    def words(query_length: int, **given: Any) -> dict[str, Any]:
        window = given["sliding_window"]
        options = {} if window is None else {"window_size": (window - 1, window - 1)}
        lengths = {name: given[name] for name in ("max_seqlen_q", "max_seqlen_k", "softmax_scale")}
        return {**lengths, **options, "causal": given["is_causal"]}

    class Words:
        """One function until transformers 5.17, two since."""

        __call__ = staticmethod(words)

        def __iter__(self) -> Iterator[Any]:
            return iter((words, None))

    functions = ((None, flash, None, None, None), Words())
    monkeypatch.setattr(modeling_flash_attention_utils, "lazy_import_flash_attention", lambda name: functions)
    for config in CONFIGS:
        torch.manual_seed(0)
        model = Lm.from_config(copy.deepcopy(config), attn_implementation="sdpa")
        batch = KIND.dummy_batch(config, Tokens(), (9, 4, 7))
        with torch.no_grad():
            in_rows = model(**batch.inputs).logits[batch.inputs[MASK].bool()]
            model.config._attn_implementation_internal = FLASH
            laid = model(**arguments(end_to_end(batch, 32, 9))).logits[0, :20]
        torch.testing.assert_close(laid, in_rows, rtol=1e-4, atol=1e-5)


def test_what_the_kernel_cannot_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="no softcap"):
        x = torch.zeros(1, 2, 4, 8)
        varlen.attention(torch.nn.Identity(), x, x, x, None, cu_seq_lens_q=torch.tensor([0, 4]), softcap=30.0)
    with pytest.raises(NotImplementedError, match="no dropout"):
        varlen.attention(torch.nn.Identity(), x, x, x, None, cu_seq_lens_q=torch.tensor([0, 4]), dropout=0.1)


def test_a_probe_settles_it_and_the_search_trains_so(
    talk: str, tmp_path: Path, as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "fastest", lambda times, usual: VARLEN if VARLEN in times else usual)
    asked = replace(talk_job(talk, tmp_path / "out"), predicted_peak_bytes=10, attentions={VARLEN: 9})
    found = Probe(**probe.probe(asked.as_dict(), NullReporter()))
    assert (found.attention, found.predicted_peak_bytes) == (VARLEN, 9)
    setup = Setup.of("lora", {**get_method("lora").prior(), **found.fitting()}, 64)
    train_state = build(setup, 0, load_dataset_info(Path(talk)), 8)
    assert attention_of(train_state.plain.config) == VARLEN  # type: ignore[arg-type]
    assert train_state.end_to_end
    monkeypatch.setattr(train_state_module, "KEPT_APART", {})
    monkeypatch.setattr(train_state_module, "keeps_apart", lambda *_: False)
    assert Probe(**probe.probe(asked.as_dict(), NullReporter())).attention is None, "one that mixes texts is not taken"


def test_what_is_captured_is_found_beforehand(
    talk: str, tmp_path: Path, as_on_a_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_state = build(talk_job(talk, tmp_path / "out", attention=VARLEN).setup, 0, load_dataset_info(Path(talk)), 8)
    config: Any = train_state.plain.config
    two_rows = train_state.laid_out(train_state.collator.two_rows(config))
    assert two_rows.end_to_end is not None
    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)  # torch's own runs without numbers, too
    assert stays_on_device(config, KIND.auto_model, two_rows)
    monkeypatch.setattr(TrainState, "device", torch.device("cuda"))
    assert cuda_graphs.unsupported_reason(train_state) is None
    train_state.found[FLASH] = True
    config._attn_implementation_internal = FLASH
    assert cuda_graphs.unsupported_reason(train_state) is None, "without padding, flash-attention counts nothing"
    train_state.found[FLASH] = False
    assert "padding" in str(cuda_graphs.unsupported_reason(train_state))


def test_memory_is_estimated_of_the_tokens_that_lie_there(talk: str, tmp_path: Path, as_on_a_gpu: None) -> None:
    info, split = load_dataset_info(Path(talk)), load_split(Path(talk), "train")
    one = talk_job(talk, tmp_path / "out", "full", precision="bf16", weights="bf16")
    choices = one.setup.hyperparameters
    in_rows = job_estimate(one, info, split, "cuda")(choices).peak_bytes
    laid = peak_bytes_with(VARLEN, one, info, split)
    assert laid is not None
    assert 0.5 * in_rows < laid < in_rows
    loop = Loop(one, NullReporter(), build(one.setup, 0, info, 8), split, split, StepPlan(1000, 1001, 10))
    loop.extent = replace(loop.extent, end_to_end=True)
    batches = batches_of_epoch(loop.extent.sorted_by, BATCH, one.seed, 0)
    widest = plan_shapes([[batch] for batch in batches], loop.extent, 1000).forms[-1][0]
    with_room = loop.extent.with_headroom(largest_form(loop.extent, choices, one.seed)[0], BATCH)
    assert (
        max(loop.extent.width(batch) for batch in islice(batches_from(loop.extent.sorted_by, BATCH, 3, 0), 100)) <= with_room
    )
    assert widest <= with_room, "the largest that is captured"


@pytest.mark.gpu
@pytest.mark.parametrize("name", [VARLEN, FLASH])
def test_on_a_gpu_texts_end_to_end_train_as_in_rows(
    talk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.undo()
    if not attention.is_installed(name, "cuda"):
        pytest.skip("not installed")
    half = {"precision": "bf16", "weights": "bf16"}
    found = {way: train(talk_job(talk, tmp_path / way, **half, attention=way), NullReporter()) for way in ("sdpa", name)}
    assert found[name]["dev_loss"] == pytest.approx(found["sdpa"]["dev_loss"], rel=2e-3)
    monkeypatch.setattr(cuda_graphs, "unsupported_reason", lambda train_state: "not today")
    eager = train(talk_job(talk, tmp_path / "eager", **half, attention=name), NullReporter())
    assert eager["dev_loss"] == pytest.approx(found[name]["dev_loss"], rel=2e-3)


def test_a_base_that_does_not_hand_on_where_texts_end_is_not_captured() -> None:
    """Flash-attention would look for the ends itself, on the CPU."""
    for config, hands_on in ((LlamaConfig(**SMALL), True), (NemotronConfig(**SMALL), False)):
        assert stays_on_device(config, KIND.auto_model, KIND.two_rows(config, Tokens()))
        laid = end_to_end(KIND.two_rows(config, Tokens()), 8, 4)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(varlen, "varlen_attn", varlen_attn)
            assert stays_on_device(config, KIND.auto_model, laid) == hands_on


def test_estimates_know_what_stays_in_rows(talk: str, tmp_path: Path) -> None:
    info, split = load_dataset_info(Path(talk)), load_split(Path(talk), "train")
    for i, changed in enumerate(({"precision": "fp32"}, {"precision": "fp16"}, {"precision": "bf16", "top_layers": 1})):
        one = talk_job(talk, tmp_path / str(i), "lora", **changed)
        in_rows = job_estimate(one, info, split, "cuda")(one.setup.hyperparameters).peak_bytes
        assert peak_bytes_with(VARLEN, one, info, split) == in_rows


@pytest.mark.gpu
def test_torchs_kernel_computes_what_it_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not attention.is_installed(VARLEN, "cuda"):
        pytest.skip("not installed")
    for config in CONFIGS:
        model = Lm.from_config(copy.deepcopy(config), attn_implementation=VARLEN, dtype=torch.bfloat16).cuda()
        assert keeps_apart(model, KIND.two_rows(config, Tokens()).to(torch.device("cuda")))
