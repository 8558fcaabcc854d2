"""Errors name options as their reader gives them."""

from __future__ import annotations

import pickle

import pytest

from peftcost.errors import PeftcostError, UserError, did_you_mean


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--seed 5000 must be from 0 to 999.", "seed=5000 must be from 0 to 999."),
        ("give --budget +1gpu-h (for example) to go on.", "give budget='+1gpu-h' (for example) to go on."),
        ("--budget '5x' is not understood.", "budget='5x' is not understood."),
        ("--max-length 9 is above 8; say --price 2.5.", "max_length=9 is above 8; say price=2.5."),
        ("name it with --label: 'a', 'b'.", "name it with label=: 'a', 'b'."),
        ("go on with `peftcost resume runs/x`.", "go on with `peftcost.resume('runs/x')`."),
        ("a -- b, and -o.", "a -- b, and -o."),
    ],
)
def test_python_callers_read_arguments_and_the_command_line_options(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = UserError(text)
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == told
    monkeypatch.setattr(PeftcostError, "on_command_line", True)
    assert str(error) == text


def test_a_word_in_other_letters_is_the_nearest() -> None:
    assert did_you_mean("GOOD", ["goon", "good"]) == " Did you mean 'good'?"
