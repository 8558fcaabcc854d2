"""Captured steps of a language model compute logits of a fixed number of positions, and train as eager steps do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from talk import BATCH, prepared_talk, talk_job
from transformers import AutoConfig
from uncaptured import Uncaptured, captures_on_cpu

from peftcost.engine import cuda_graphs, wanted_logits
from peftcost.engine.cuda_graphs import ALIGNMENT, MOST_GRAPHS, Extent, plan_shapes, with_headroom
from peftcost.engine.dataset import batches_of_epoch, load_dataset_info, load_split, micro_batches
from peftcost.engine.fitting import estimate_of, job_estimate, largest_form
from peftcost.engine.job import NullReporter
from peftcost.engine.train import train
from peftcost.engine.train_pack import train_pack
from peftcost.engine.wanted_logits import with_places
from peftcost.tasks import chunked_loss, get_task_type
from peftcost.tasks.batch import Batch


@pytest.fixture(scope="module")
def prepared(tiny_chat_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return prepared_talk(tiny_chat_lm, tmp_path_factory.mktemp("talk"))


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    return captures_on_cpu(monkeypatch)


SETUPS = [(method, choices) for method in ("full", "lora", "prompt") for choices in ({}, {"micro_batch_size": 3})]


@pytest.mark.parametrize(("method", "choices"), [*SETUPS, ("lora", {"top_layers": 1})], ids=str)
def test_what_is_captured_trains_as_eager_steps(
    prepared: str, tmp_path: Path, captures: Callable[[bool], None], method: str, choices: dict[str, Any]
) -> None:
    found = {}
    for on in (False, True):
        captures(on)
        found[on] = train(talk_job(prepared, tmp_path / str(on), method, **choices), NullReporter())
    for name in ("train_loss", "dev_loss"):
        assert found[True][name] == pytest.approx(found[False][name], rel=1e-4)
    rows = [np.load(tmp_path / str(on) / "dev_rows.npy") for on in (False, True)]
    np.testing.assert_allclose(*rows, rtol=1e-3, atol=1e-3)
    kinds = {shapes for _, pays, shapes in Uncaptured.ran if pays}
    assert len(kinds) <= MOST_GRAPHS
    assert sum(pays for _, pays, _ in Uncaptured.ran) > 0.75 * len(Uncaptured.ran) > 0, "most steps are captured"
    assert all(0 < places < BATCH * width for (width, places), pays, _ in Uncaptured.ran if pays), "not all logits"


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets heads compute their logits in chunks, however few they are."""
    heads: list[torch.nn.Linear] = []

    def pay(head: torch.nn.Linear, positions: int, precision: torch.dtype) -> bool:
        heads.append(head)
        return True

    monkeypatch.setattr(wanted_logits, "chunks_pay", pay)
    monkeypatch.setattr(chunked_loss, "CHUNK_LOGITS", 2**12)
    yield
    assert heads


@pytest.mark.parametrize("method", ["full", "lora", "prompt"])
def test_heads_in_chunks_train_as_others(
    prepared: str, tmp_path: Path, captures: Callable[[bool], None], request: pytest.FixtureRequest, method: str
) -> None:
    found = []
    for how in ("at once", "in_chunks", "what a graph holds"):
        captures(how == "what a graph holds")
        if how == "in_chunks":
            request.getfixturevalue(how)
        found.append(train(talk_job(prepared, tmp_path / how, method), NullReporter()))
    for name in ("train_loss", "dev_loss", "quality"):
        assert [one[name] for one in found[1:]] == pytest.approx([found[0][name]] * 2, rel=1e-4)


def test_members_of_a_pack_train_as_alone_with_heads_in_chunks(
    prepared: str, tmp_path: Path, captures: Callable[[bool], None], in_chunks: None
) -> None:
    test_members_of_a_pack_compute_as_few_logits_and_train_as_alone(prepared, tmp_path, captures, True)


@pytest.mark.parametrize("on", [False, True])
def test_members_of_a_pack_compute_as_few_logits_and_train_as_alone(
    prepared: str, tmp_path: Path, captures: Callable[[bool], None], on: bool
) -> None:
    captures(on)
    choices = [{"learning_rate": rate, "rank": rank} for rate, rank in ((5e-4, 4), (1e-3, 8), (2e-3, 16))]
    jobs = [talk_job(prepared, tmp_path / f"pack{i}", **some) for i, some in enumerate(choices)]
    together = train_pack({"jobs": [one.as_dict() for one in jobs]}, NullReporter())["members"]
    packs = [(form, shapes) for form, pays, shapes in Uncaptured.ran if shapes[0][0] == 3 * BATCH]
    assert bool(packs) == on
    assert all(shapes[-1] == (3 * places,) and places < BATCH * width for (width, places), shapes in packs)
    captures(False)
    for i, some in enumerate(choices):
        alone = train(talk_job(prepared, tmp_path / f"alone{i}", **some), NullReporter())
        assert together[i]["result"]["dev_loss"] == pytest.approx(alone["dev_loss"], rel=1e-4)


LENGTHS = st.lists(st.tuples(st.integers(2, 96), st.floats(0, 1)), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 400), st.sampled_from([1, 2, 4]))
def test_forms_are_few_and_hold_every_planned_batch(rows: list[tuple[int, float]], steps: int, micro: int) -> None:
    lengths = np.array([length for length, _ in rows])
    wanted = np.array([max(1, int(share * (length - 1))) for length, share in rows])
    extent = Extent(lengths, 64, np.minimum(wanted, 63))
    batches = [micro_batches(indices, micro) for indices in batches_of_epoch(lengths, 4, 0, 0)][:steps]
    shapes = plan_shapes(batches, extent, steps)
    assert len(shapes.forms) <= MOST_GRAPHS
    assert list(shapes.forms) == sorted(set(shapes.forms))
    assert all(places % ALIGNMENT == 0 for _, places in shapes.forms)
    assert sum(shapes.uses.values()) == pytest.approx(steps)
    for parts in batches:
        longest, most = extent(parts)
        width, places = shapes.fit(longest, most)
        assert (width, places) in shapes.forms
        assert width >= longest
        assert places >= most


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 40))
def test_each_group_keeps_its_own_and_is_filled_up_with_what_does_not_count(seed: int, groups: int, places: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.rand(2 * groups, 8, generator=generator) < 0.4
    kept = counts.flatten().nonzero().flatten()
    batch = Batch({"input_ids": torch.zeros(2 * groups, 8)}, torch.zeros(2 * groups, 8), 8, kept=kept)
    found = with_places(batch, places, groups)
    if places >= 16 or places < counts.view(groups, -1).sum(1).max():
        assert found.kept is None
        return
    for own, wanted in zip(found.chunks(groups), counts.view(groups, -1), strict=True):
        assert own.kept is not None
        assert len(own.kept) == places
        there = wanted[own.kept]
        assert own.kept[there].tolist() == wanted.nonzero().flatten().tolist()


def test_memory_is_estimated_for_the_logits_that_a_gpu_computes(prepared: str, tmp_path: Path) -> None:
    info, split = load_dataset_info(Path(prepared)), load_split(Path(prepared), "train")
    one = talk_job(prepared, tmp_path / "out", "full")
    choices = one.setup.hyperparameters
    gpu, small = (job_estimate(one, info, split, "cuda")({**choices, "micro_batch_size": n}) for n in (8, 2))
    extent = Extent(split.lengths, info.max_length, get_task_type(info.task).target_counts(split, info.max_length))
    places = with_headroom(largest_form(extent, choices, one.seed)[1])
    batches = batches_of_epoch(split.lengths, BATCH, one.seed, 0)
    shapes = plan_shapes([[indices] for indices in batches], extent, 1000)
    assert max(size for _, size in shapes.forms) == places, "the largest that is captured"
    longest, config = min(info.max_length, int(split.lengths.max())), AutoConfig.from_pretrained(info.model)
    everything = estimate_of(config, info.task_type, "full", choices, longest, info.targets, "cuda")
    assert small.peak_bytes < gpu.peak_bytes < everything.peak_bytes


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("head", ["at once", "in_chunks"])
def test_a_captured_language_model_ends_like_an_eager_one(
    prepared: str, tmp_path: Path, method: str, head: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if head == "in_chunks":
        request.getfixturevalue(head)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    captured = train(talk_job(prepared, tmp_path / "captured", method), NullReporter())
    monkeypatch.setattr(cuda_graphs, "unsupported_reason", lambda train_state: "not today")
    eager = train(talk_job(prepared, tmp_path / "eager", method), NullReporter())
    assert captured["dev_loss"] == pytest.approx(eager["dev_loss"], rel=1e-3)
