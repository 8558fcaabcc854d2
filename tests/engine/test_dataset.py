"""Batches: every example once an epoch, little padding, and any step can be found again."""

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftcost.engine.dataset import batches_from, batches_of_epoch, make_split


@given(n=st.integers(1, 400), batch=st.integers(1, 32), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_an_epoch_holds_each_example_once(n: int, batch: int, seed: int, epoch: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 60, n)
    batches = batches_of_epoch(lengths, batch, seed, epoch)
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert all(len(b) == batch for b in batches[:-1])


@given(start=st.integers(0, 60), seed=st.integers(0, 5))
def test_the_stream_can_be_entered_at_any_step(start: int, seed: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 60, 203)
    whole = list(islice(batches_from(lengths, 16, seed, 0), start + 20))
    later = list(islice(batches_from(lengths, 16, seed, start), 20))
    assert all(np.array_equal(a, b) for a, b in zip(whole[start:], later, strict=True))


def test_bucketing_pays_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 120, 4000)
    batches = batches_of_epoch(lengths, 16, 0, 0)
    paid = sum(len(b) * lengths[b].max() for b in batches)
    assert paid < 1.06 * lengths.sum()
    shuffled = np.random.default_rng(0).permutation(4000).reshape(-1, 16)
    assert sum(16 * lengths[b].max() for b in shuffled) > 1.7 * lengths.sum()


def test_ragged_rows_come_back() -> None:
    split = make_split([[1, 2, 3], [], [4]], [[0], [1], [2]])
    assert len(split) == 3
    assert [split.example(i)[0].tolist() for i in range(3)] == [[1, 2, 3], [], [4]]
    assert [split.example(i)[1].tolist() for i in range(3)] == [[0], [1], [2]]
