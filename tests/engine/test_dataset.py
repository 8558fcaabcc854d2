"""Batches: every example once an epoch, little padding, and any step can be found again."""

from itertools import islice
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftcost.data.features import Column, Split, padded, ragged
from peftcost.engine.dataset import DatasetInfo, batches_from, batches_of_epoch, load_dataset_info, load_split, save_prepared
from peftcost.tasks.targets import Classes


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
    column = ragged([[1, 2, 3], [], [4]])
    assert [column[i].tolist() for i in range(3)] == [[1, 2, 3], [], [4]]
    assert padded(column, np.array([2, 0]), 4, 9).tolist() == [[4, 9, 9, 9], [1, 2, 3, 9]]
    assert padded(column, np.array([0]), 2, 9).tolist() == [[1, 2]]


def test_columns_of_any_kind_come_back_from_disk(tmp_path: Path) -> None:
    pixels = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
    columns = {"pixel_values": Column(pixels), "scores": ragged([[0.5], [], [1.5, 2.5]], np.float32)}
    info = DatasetInfo("m", "text-classification", "accuracy", Classes(("a", "b")), {"scores": 0.0}, 9, 9)
    save_prepared(tmp_path / "prepared", {"train": Split(columns, np.ones(3, dtype=np.int64))}, info)
    again = load_split(tmp_path / "prepared", "train")
    assert load_dataset_info(tmp_path / "prepared") == info
    assert np.array_equal(again.columns["pixel_values"].values, pixels)
    assert again.columns["scores"][2].tolist() == [1.5, 2.5]
    assert again.first(2).columns["pixel_values"].values.shape == (2, 2, 2)


def test_some_examples_of_a_split_are_what_they_were() -> None:
    words, pixels = ragged([[1], [2, 3], [], [4, 5, 6]]), Column(np.arange(8).reshape(4, 2))
    split = Split({"input_ids": words, "pixel_values": pixels}, np.array([1, 2, 0, 3]))
    some = split.only(np.array([1, 2, 3]))
    assert [row.tolist() for row in (some.columns["input_ids"][i] for i in range(3))] == [[2, 3], [], [4, 5, 6]]
    assert some.columns["pixel_values"].values.tolist() == [[2, 3], [4, 5], [6, 7]] and some.lengths.tolist() == [2, 0, 3]
    assert len(split.only(np.array([], dtype=np.int64))) == 0
