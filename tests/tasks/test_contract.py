"""Every task type holds to the contract that users' own are tested with."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from peftcost.tasks import TaskType, get_task_type, task_types
from peftcost.testing.tasks import TaskTypeContract

WORDS = ["good", "bad", "fair", "film", "plot", "Ann", "Bob", "slow", "great", "dull", "Rome", "Paris"]
TEXTS = [" ".join(WORDS[(i * 5 + j) % len(WORDS)] for j in range(3 + i % 4)) for i in range(16)]


class OnTinyBert(TaskTypeContract):
    @pytest.fixture
    def model(self, tiny_bert: Path) -> Path:
        return tiny_bert


class TestTextClassification(OnTinyBert):
    rows = [{"review": text, "stars": i % 3} for i, text in enumerate(TEXTS)]  # noqa: RUF012
    columns = {"text": "review", "label": "stars"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("text-classification")


class TestTextPairClassification(OnTinyBert):
    rows = [  # noqa: RUF012
        {"premise": text, "hypothesis": TEXTS[-1 - i], "label": ["same", "other"][i % 2]} for i, text in enumerate(TEXTS)
    ]
    columns = {"text": "premise", "text_pair": "hypothesis", "label": "label"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("text-classification")


class TestTextPairRegression(OnTinyBert):
    rows = [{"a": text, "b": TEXTS[-1 - i], "score": i / 3} for i, text in enumerate(TEXTS)]  # noqa: RUF012
    columns = {"text": "a", "text_pair": "b", "value": "score"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("regression")


class TestMultiLabel(OnTinyBert):
    rows = [{"text": text, "labels": [name for name in ("good", "film") if name in text]} for text in TEXTS]  # noqa: RUF012
    columns = {"text": "text", "labels": "labels"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("multi-label")


class TestTokenClassification(OnTinyBert):
    rows = [  # noqa: RUF012
        {"words": text.split(), "tags": ["B-x" if word[0].isupper() else "O" for word in text.split()]} for text in TEXTS
    ]
    columns = {"tokens": "words", "tags": "tags"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("token-classification")


class TestRegression(OnTinyBert):
    rows = [{"text": text, "score": len(text) / 7 + i % 2} for i, text in enumerate(TEXTS)]  # noqa: RUF012
    columns = {"text": "text", "value": "score"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("regression")


class TestCausalLM(TaskTypeContract):
    rows = [{"question": text, "answer": " ".join(reversed(text.split()))} for text in TEXTS]  # noqa: RUF012
    columns = {"prompt": "question", "completion": "answer"}  # noqa: RUF012

    @pytest.fixture(params=["tiny_chat_lm", "tiny_gpt2"])
    def model(self, request: pytest.FixtureRequest) -> Path:
        folder: Path = request.getfixturevalue(request.param)
        return folder

    def kind(self) -> TaskType:
        return get_task_type("causal-lm")


class TestSeq2Seq(TaskTypeContract):
    rows = [{"document": text, "summary": " ".join(reversed(text.split()))} for text in TEXTS]  # noqa: RUF012
    columns = {"prompt": "document", "completion": "summary"}  # noqa: RUF012

    @pytest.fixture(params=["tiny_t5", "tiny_bart"])
    def model(self, request: pytest.FixtureRequest) -> Path:
        folder: Path = request.getfixturevalue(request.param)
        return folder

    def kind(self) -> TaskType:
        return get_task_type("seq2seq")


def drawn(i: int) -> dict[str, object]:
    """A picture as `datasets` writes it."""
    pixels = io.BytesIO()
    Image.new("RGB", (10, 6 + i % 3), (40 * (i % 3), 10 * i, 99)).save(pixels, "PNG")
    return {"bytes": pixels.getvalue(), "path": f"{i}.png"}


class TestImageClassification(TaskTypeContract):
    rows = [{"photo": drawn(i), "kind": "abc"[i % 3]} for i in range(16)]  # noqa: RUF012
    columns = {"image": "photo", "label": "kind"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("image-classification")

    @pytest.fixture
    def model(self, tiny_vit: Path) -> Path:
        return tiny_vit


def played(i: int) -> dict[str, object]:
    """A tone as `datasets` writes it."""
    tone = io.BytesIO()
    soundfile.write(tone, 0.3 * np.sin(np.arange(2_000 + 100 * i) * (0.1 + i % 3)), 8_000, format="WAV")
    return {"bytes": tone.getvalue(), "path": f"{i}.wav"}


class TestAudioClassification(TaskTypeContract):
    rows = [{"clip": played(i), "kind": "abc"[i % 3]} for i in range(16)]  # noqa: RUF012
    columns = {"audio": "clip", "label": "kind"}  # noqa: RUF012

    def kind(self) -> TaskType:
        return get_task_type("audio-classification")

    @pytest.fixture
    def model(self, tiny_ast: Path) -> Path:
        return tiny_ast


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    ("case", "model"),
    [
        (TestTextPairClassification(), "tiny_bert"),
        (TestTokenClassification(), "tiny_bert"),
        (TestCausalLM(), "tiny_chat_lm"),
        (TestSeq2Seq(), "tiny_t5"),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, TaskTypeContract) else case,
)
def test_what_is_tokenized_in_chunks_is_as_at_once(
    case: TaskTypeContract,
    model: str,
    labelled: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = request.getfixturevalue(model)
    targets = case.kind().targets(case.examples()) if labelled else None
    whole, _ = case.encoded(folder, targets)
    monkeypatch.setattr("peftcost.tasks.text_inputs.CHUNK", 5)
    chunked, _ = case.encoded(folder, targets)
    np.testing.assert_array_equal(chunked.lengths, whole.lengths)
    assert set(chunked.columns) == set(whole.columns)
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(chunked.columns[name].values, column.values)
        np.testing.assert_array_equal(chunked.columns[name].offsets, column.offsets)


def test_no_task_type_is_left_out() -> None:
    cases = [case for case in (*TaskTypeContract.__subclasses__(), *OnTinyBert.__subclasses__()) if case is not OnTinyBert]
    tested = {case().kind().name for case in cases}
    assert tested == set(task_types())
