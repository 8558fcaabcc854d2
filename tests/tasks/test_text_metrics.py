"""Texts against references: what each score says, in several scripts."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.tokenizers import DefaultTokenizer

from peftcost.tasks import get_task_type
from peftcost.tasks.text_metrics import WRITTEN_METRICS, Words, text_scores


def scores(written: str, reference: str) -> dict[str, float]:
    return dict(zip(WRITTEN_METRICS, text_scores([written], [reference])[0].tolist(), strict=True))


def test_the_right_text_has_full_marks_whatever_its_spaces() -> None:
    assert scores(" It is\nso. ", "It is so.") == {"exact_match": 1.0, "rouge_l": 1.0, "chrf": pytest.approx(1.0)}


def test_rouge_l_is_the_longest_common_run_of_words_in_any_case() -> None:
    found = scores("the cat sat down", "The cat ran down!")
    assert found["rouge_l"] == pytest.approx(3 / 4)
    assert found["exact_match"] == 0
    assert 0.3 < found["chrf"] < 0.9


def test_a_text_of_its_own_or_none_has_no_marks() -> None:
    for text in ("", "quite other"):
        assert scores(text, "So.")["exact_match"] == scores(text, "So.")["rouge_l"] == 0
    assert scores("", "So.")["chrf"] == 0


@pytest.mark.parametrize(("written", "reference"), [("это так", "это не так"), ("这是猫", "这是狗"), ("naïve idée", "naïve")])
def test_other_scripts_are_words_too(written: str, reference: str) -> None:
    assert 0.5 < scores(written, reference)["rouge_l"] < 1


def test_english_has_the_words_that_rouge_score_finds() -> None:
    text = "Don't re-do it: 3.5 times (NASA's a_b), OK?"
    assert Words().tokenize(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


def test_a_score_is_the_mean_over_the_examples_of_a_resample() -> None:
    rows = text_scores(["yes", "no", "no"], ["yes", "yes", "no"])
    weights = np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1]])
    assert WRITTEN_METRICS["exact_match"].compute(rows, weights) == pytest.approx([2 / 3, 0, 1])


def test_of_a_conversation_the_last_reply_is_the_reference_and_of_a_plain_text_nothing() -> None:
    kind = get_task_type("causal-lm")
    talk = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))]
    assert kind.reference({"prompt": talk, "completion": "d", "form": "chat"}) == "d"
    assert kind.reference({"prompt": [], "completion": "d", "form": "text"}) is None
