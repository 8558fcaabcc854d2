"""Which rows of test are answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from peftcost.data.table import Table
from peftcost.engine.asked import ASKED_ROWS, asked_of, load_asked, stratified
from peftcost.tasks import get_task_type

KIND = get_task_type("causal-lm")


def test_a_sample_has_one_of_each_length_group_and_depends_on_the_seed_alone() -> None:
    lengths = np.random.default_rng(3).integers(1, 500, 1000)
    chosen = stratified(lengths, 50, seed=1)
    assert chosen == stratified(lengths, 50, seed=1) != stratified(lengths, 50, seed=2)
    assert len(set(chosen)) == 50
    groups = np.array_split(np.sort(lengths), 50)
    assert all(group[0] <= n <= group[-1] for group, n in zip(groups, sorted(lengths[chosen]), strict=True))
    assert stratified(lengths[:20], 50, seed=1) == list(range(20))


def test_what_is_asked_holds_references_in_the_order_of_test_and_room_for_most_of_them(
    tiny_chat_lm: Path, tmp_path: Path
) -> None:
    rows = [{"prompt": f"q{i}", "completion": "z" * (1 + i % 40)} for i in range(300)]
    table = Table("data.jsonl", list(rows[0]), list(rows), list(range(1, 301)))
    test = KIND.read(table, {"prompt": "prompt", "completion": "completion"})
    asked = asked_of(KIND, KIND.processor(str(tiny_chat_lm)), test, 0)
    assert asked is not None
    assert len(asked.rows) == ASKED_ROWS and asked.rows == sorted(asked.rows)
    assert asked.references == [test[i]["completion"] for i in asked.rows]
    longest = max(map(len, asked.references))
    assert 0.9 * longest < asked.new_tokens <= longest + 1  # a token is a byte here
    asked.save(tmp_path)
    assert load_asked(tmp_path) == asked


def test_nothing_is_asked_where_nothing_can_be_right(tiny_chat_lm: Path, tmp_path: Path) -> None:
    test = KIND.read(Table("data.jsonl", ["text"], [{"text": "Once"}], [1]), {"text": "text"})
    assert asked_of(KIND, KIND.processor(str(tiny_chat_lm)), test, 0) is None
    assert load_asked(tmp_path) is None
