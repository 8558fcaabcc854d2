"""Activations on disk: what is kept, what makes room, and what harm is survived."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peftcost.engine import activations
from peftcost.engine.activations import make_room, open_activations

LENGTHS = np.array([3, 1, 4, 1, 5])


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEFTCOST_CACHE", str(tmp_path))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 99),
)
def test_what_one_worker_writes_another_reads(lengths: list[int], dtype: torch.dtype, seed: int) -> None:
    key = [seed, *lengths]
    ours = open_activations(key, "train", np.array(lengths), 2, dtype)
    theirs = open_activations(key, "train", np.array(lengths), 2, dtype)
    assert ours is not None and theirs is not None
    ours.seconds[:] = 0.0  # the key may have been drawn before
    torch.manual_seed(seed)
    chosen = np.flatnonzero(np.random.default_rng(seed).random(len(lengths)) < 0.5)
    hidden = torch.randn(len(chosen), 7, 2).to(dtype)
    if len(chosen):
        ours.write(chosen, hidden)
        ours.price(chosen, 2.5)
        assert not theirs.timed(chosen).any(), "nobody knows yet whether it was disturbed"
        ours.confirm(chosen)
    assert theirs.known(np.arange(len(lengths))).sum() == len(chosen)
    assert theirs.seconds.sum() == pytest.approx(2.5 if len(chosen) else 0.0, rel=1e-5)
    read = theirs.read(chosen, 7)
    for row, index in enumerate(chosen):
        n = lengths[index]
        assert torch.equal(read[row, :n], hidden[row, :n])
        assert not read[row, n:].any()


def test_what_was_computed_beside_other_programs_keeps_its_values_and_is_timed_again() -> None:
    """Computed in another batch the last bits would differ, and a resumed training would end elsewhere."""
    found = open_activations(["doubt"], "train", np.array([2, 3]), 1, torch.float32)
    assert found is not None
    both, second = np.arange(2), np.array([1])
    found.write(both, torch.ones(2, 3, 1))
    found.price(both, 5.0)
    found.confirm(np.array([0]))
    assert found.known(both).all()
    assert found.timed(both).tolist() == [True, False]
    found.write(second, torch.full((1, 3, 1), 1.001))
    found.price(second, 1.5)
    found.confirm(second)
    assert found.timed(both).all()
    assert found.seconds.tolist() == pytest.approx([2.0, 1.5])
    assert torch.equal(found.read(second, 3), torch.ones(1, 3, 1))


def test_another_key_is_another_cache() -> None:
    one = open_activations(["a"], "train", LENGTHS, 2, torch.float32)
    assert one is not None
    one.write(np.array([0]), torch.ones(1, 3, 2))
    one.price(np.array([0]), 1.0)
    for key, split, width, dtype in (
        (["b"], "train", 2, torch.float32),
        (["a"], "dev", 2, torch.float32),
        (["a"], "train", 3, torch.float32),
        (["a"], "train", 2, torch.bfloat16),
    ):
        other = open_activations(key, split, LENGTHS, width, dtype)
        assert other is not None
        assert not other.known(np.arange(5)).any()


def test_after_a_restart_nothing_old_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_activations(["a"], "train", LENGTHS, 2, torch.float32)
    assert before is not None
    before.write(np.array([0]), torch.ones(1, 3, 2))
    before.price(np.array([0]), 1.0)
    monkeypatch.setattr(activations, "boot_id", lambda: "another start")
    after = open_activations(["a"], "train", LENGTHS, 2, torch.float32)
    assert after is not None
    assert not after.known(np.array([0]))[0]


def test_the_longest_unused_makes_room_and_who_reads_it_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "activations"
    found = [open_activations([name], "train", LENGTHS, 100, torch.float32) for name in "abc"]
    assert all(found)
    first, second, third = (item.folder for item in found if item is not None)
    found[0].write(np.array([1]), torch.full((1, 1, 100), 7.0))  # type: ignore[union-attr]
    for age, folder in ((30, first), (10, second), (20, third)):
        os.utime(folder, (1e9 - age, 1e9 - age))
    one = sum(file.stat().st_size for file in first.iterdir())
    assert make_room(root, one, free_bytes=9 * one)  # a quarter of 12 in all: three stay
    assert not first.exists() and second.exists() and third.exists()
    assert found[0].read([1], 1).eq(7.0).all()  # type: ignore[union-attr]
    assert not make_room(root, 5 * one, free_bytes=9 * one)
    assert second.exists()


def test_a_full_disk_means_computing_every_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert open_activations(["a"], "train", LENGTHS, 2, torch.float32) is None
    assert not list((tmp_path / "activations").iterdir())
