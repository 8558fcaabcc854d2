"""Steps as CUDA graphs: which shapes are captured, and (on a GPU) that replayed steps give what eager ones give."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.setup import PACKING, Setup
from peftcost.engine import cuda_graphs
from peftcost.engine.cuda_graphs import ALIGNMENT, Extent, bucket_sizes, plan_shapes
from peftcost.engine.dataset import load_dataset_info
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.precision import on_gpu
from peftcost.engine.train import train
from peftcost.engine.train_pack import train_pack
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method, methods
from peftcost.tasks.batch import Batch

STOP = 320
LENGTHS = st.lists(st.integers(1, 128), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 8))
def test_widths_cover_all_lengths_and_are_few(longest: list[int], most: int) -> None:
    widths = bucket_sizes(longest, most)
    assert widths == sorted(set(widths))
    assert len(widths) <= most
    assert widths[-1] >= max(longest)
    assert all(width % ALIGNMENT == 0 for width in widths)


@given(st.lists(st.integers(1, 48), min_size=1, max_size=12), st.integers(1, 3))
def test_no_other_widths_pad_less(longest: list[int], most: int) -> None:
    def padded(widths: tuple[int, ...]) -> float:
        return sum(min((w for w in widths if w >= length), default=float("inf")) for length in longest)

    sizes = range(ALIGNMENT, 49, ALIGNMENT)
    best = min(padded(some) for n in range(1, most + 1) for some in itertools.combinations(sizes, n))
    assert padded(tuple(bucket_sizes(longest, most))) == best


def test_what_comes_too_seldom_is_not_captured() -> None:
    lengths = np.array([10] * 64 + [100] * 4)
    batches = [[indices] for indices in (*np.split(np.arange(64), 4), np.arange(64, 68))]
    extent = Extent(lengths, limit=512)
    shapes, short = (plan_shapes(batches, extent, steps) for steps in (40, 10))
    assert shapes.fit(9, 0) == shapes.fit(16, 0) == (16, 0)
    assert shapes.fit(100, 0) == (104, 0)
    assert shapes.pays(16, (16, 0))
    assert shapes.pays(4, (104, 0)), "8 of the 40 steps"
    assert not short.pays(4, (104, 0))
    assert len(short.forms) == 1, "a short training has few graphs"
    assert plan_shapes(batches, Extent(lengths, 60), 40).pays(4, (60, 0)), "no width is above where rows are cut"


def test_why_a_training_is_not_captured(prepared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def why(method: str, device: str = "cuda", **choices: Any) -> str | None:
        setup = Setup.of(method, {**get_method(method).prior(), **choices}, 64)
        train_state = build(setup, 0, load_dataset_info(Path(prepared)), 4)
        monkeypatch.setattr(TrainState, "device", torch.device(device))
        try:
            return cuda_graphs.unsupported_reason(train_state)
        finally:
            monkeypatch.undo()
            monkeypatch.setenv("ACCELERATE_USE_CPU", "true")

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert why("lora") is None
    assert why("lora", device="cpu") == "the device is no CUDA GPU"
    for choices in ({"optimizer": "sgd"}, {"gradient_checkpointing": True}, {PACKING: True}):
        assert why("lora", **choices) is not None
    assert "outliers" in str(why("int8-lora"))


@pytest.mark.parametrize(("free", "cached", "fits"), [(7, 0, True), (2, 0, False), (2, 2, True)])
def test_a_graph_needs_room_for_a_step_not_for_the_weights_again(
    free: int, cached: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In GB: weights of 14, steps that take 3 more."""
    emptied: list[bool] = []
    figures = {"memory_allocated": 14, "max_memory_allocated": 17, "memory_reserved": 14 + cached, "mem_get_info": (free, 24)}
    for name, figure in figures.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, figure=figure: figure)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    assert cuda_graphs.has_room(torch.device("cuda")) == fits
    assert bool(emptied) == (free < 3 <= free + cached)


@pytest.fixture
def on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    yield monkeypatch
    torch.cuda.empty_cache()


def job(prepared: str, out: Path, method: str, stop: int = STOP, parent: Path | None = None, **choices: Any) -> TrainJob:
    out.mkdir()
    own = get_method(method)
    setup = Setup.of(method, {**own.prior(), **on_gpu(own, True), "dropout": 0.0, **choices}, stop)
    return TrainJob(prepared, setup, 3, str(out), None if parent is None else str(parent / "checkpoint"))


@pytest.mark.gpu
@pytest.mark.parametrize("method", methods())
def test_a_captured_training_ends_like_an_eager_one(
    prepared: str, tmp_path: Path, method: str, on_the_gpu: pytest.MonkeyPatch
) -> None:
    captured = train(job(prepared, tmp_path / "captured", method), NullReporter())
    if not get_method(method).fixed_horizon:
        train(job(prepared, tmp_path / "half", method, stop=STOP // 2), NullReporter())
        resumed = train(job(prepared, tmp_path / "resumed", method, parent=tmp_path / "half"), NullReporter())
        assert resumed["dev_loss"] == pytest.approx(captured["dev_loss"], rel=2e-2)
    on_the_gpu.setattr(cuda_graphs, "unsupported_reason", lambda train_state: "not today")
    eager = train(job(prepared, tmp_path / "eager", method), NullReporter())
    assert captured["train_loss"] == pytest.approx(eager["train_loss"], rel=2e-2)
    assert captured["dev_loss"] == pytest.approx(eager["dev_loss"], rel=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_other_precisions_are_captured(prepared: str, tmp_path: Path, precision: str, on_the_gpu: pytest.MonkeyPatch) -> None:
    choices = {"precision": precision, "weights": "fp32"}
    captured = train(job(prepared, tmp_path / "captured", "lora", **choices), NullReporter())
    on_the_gpu.setattr(cuda_graphs, "unsupported_reason", lambda train_state: "not today")
    eager = train(job(prepared, tmp_path / "eager", "lora", **choices), NullReporter())
    assert captured["dev_loss"] == pytest.approx(eager["dev_loss"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["lora", "nf4-lora"])
def test_a_captured_pack_ends_like_its_members_alone(
    prepared: str, tmp_path: Path, method: str, on_the_gpu: pytest.MonkeyPatch
) -> None:
    choices = [{"learning_rate": rate, "rank": rank} for rate, rank in ((5e-4, 4), (1e-3, 8), (2e-3, 16))]
    jobs = [job(prepared, tmp_path / f"pack{i}", method, **some) for i, some in enumerate(choices)]
    together = train_pack({"jobs": [one.as_dict() for one in jobs]}, NullReporter())["members"]
    for i, some in enumerate(choices):
        alone = train(job(prepared, tmp_path / f"alone{i}", method, **some), NullReporter())
        assert together[i]["result"]["dev_loss"] == pytest.approx(alone["dev_loss"], rel=2e-2)


@pytest.mark.gpu
def test_a_replay_reads_its_own_batch_whichever_stream_is_late() -> None:
    def step(parts: Sequence[Batch], n_targets: torch.Tensor) -> list[torch.Tensor]:
        numbers = parts[0].inputs["x"]
        return [torch.stack([numbers.amin(), numbers.amax(), n_targets])]

    device, form, cycles = torch.device("cuda"), (1, 0), 10**8
    graphs = cuda_graphs.Graphs(step, cuda_graphs.Shapes((form,), {(rows, form): 100.0 for rows in (8, 16)}), device)
    found = []
    with cuda_graphs.own_stream(device):
        for number in range(24):
            late = graphs._copying if number % 3 else torch.cuda.current_stream(device)
            with torch.cuda.stream(late):
                torch.cuda._sleep(cycles)
            rows = 8 if number % 2 else 16
            batch = Batch({"x": torch.full((rows, 2**20), float(number))}, torch.zeros(rows), 1)
            found.append(graphs([batch], torch.tensor(float(number)), form)[0].clone())
    assert torch.stack(found).tolist() == [[number] * 3 for number in range(24)]
