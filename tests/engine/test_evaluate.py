"""Batches of an evaluation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftcost.engine.evaluate import EVALUATION_BATCH_SIZE, EVALUATION_TOKENS, batches_by_length


@given(st.lists(st.integers(1, 2 * EVALUATION_TOKENS), max_size=300))
def test_every_example_is_seen_once_within_the_bounds(tokens: list[int]) -> None:
    lengths = np.array(tokens, dtype=np.int64)
    chosen = np.arange(len(lengths))[::2]
    batches = list(batches_by_length(lengths, chosen))
    assert sorted(i for batch in batches for i in batch) == list(chosen)
    assert all(len(batch) <= EVALUATION_BATCH_SIZE for batch in batches)
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= EVALUATION_TOKENS for batch in batches)
    assert all(a[-1] != b[0] and lengths[a[-1]] <= lengths[b[0]] for a, b in zip(batches, batches[1:], strict=False))


def test_short_texts_fill_batches() -> None:
    batches = batches_by_length(np.full(130, 10), np.arange(130))
    assert [len(batch) for batch in batches] == [64, 64, 2]
