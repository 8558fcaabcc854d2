"""YAML without its traps."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftcost.data.yaml_file import read_yaml
from peftcost.errors import UserError


def test_numbers_and_words_mean_what_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1e-4\nb: 1.5e3\nc: yes\nd: on\ne: true\nf: 7\ng: .5\nh: 2024-01-02\ni: 1e\nj: 0.01\nk:\n")
    expected = {"a": 1e-4, "b": 1500.0, "c": "yes", "d": "on", "e": True, "f": 7, "g": 0.5, "h": "2024-01-02"}
    assert read_yaml(path) == expected | {"i": "1e", "j": 0.01, "k": None}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", ["line 3", "'a' stands twice"]),
        ("a: {b: 1, b: 2}\n", ["line 1", "'b' stands twice"]),
        ("a: [1\nb: 2\n", ["line 2"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["line 1"]),
        ("just words\n", ["no fields"]),
        ("", ["empty"]),
    ],
)
def test_refused(tmp_path: Path, content: str, says: list[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    for words in (str(path), *says):
        assert words in str(caught.value)
