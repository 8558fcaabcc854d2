"""As on a GPU: the base is held in bf16, and what is trained in fp32 beside it. Who loads that on a CPU sees the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from peftcost.core.setup import Scalar, Setup
from peftcost.engine import artifact
from peftcost.engine.artifact import differing, reload
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.methods import get_method
from peftcost.task.task import Task

IN_BF16: dict[str, Scalar] = {"weights": "bf16", "precision": "bf16", "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [json.dumps({"prompt": letter * n, "completion": "yes"}) for letter in "abcdef" for n in range(1, 9)]
    file = tmp_path_factory.mktemp("pairs") / "data.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize(
    ("name", "choices", "task", "base"),
    [
        ("bitfit", {}, "seq2seq", "tiny_bart"),  # norms of which the bias alone is trained
        ("lora", {"dora": True}, "seq2seq", "tiny_t5"),  # computes a norm in the type of its input
        ("adalora", {}, "seq2seq", "tiny_t5"),
        ("prefix", {}, "causal-lm", "tiny_chat_lm"),
        ("lora", {"top_layers": 1}, "causal-lm", "tiny_chat_lm"),
    ],
)
def test_a_method_trains_and_comes_back(
    name: str,
    choices: dict[str, Scalar],
    task: str,
    base: str,
    pairs: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    model = str(request.getfixturevalue(base))
    asked = Task(model=model, task=task, data=str(pairs), columns={"prompt": "prompt", "completion": "completion"})
    prepared = str(prepare(prepare_payload(asked, 0, model, Path(model).name), NullReporter())["prepared"])
    setup = Setup.of(name, {**get_method(name).prior(), **IN_BF16, **choices}, 48)
    train(TrainJob(prepared, setup, 1, str(tmp_path)), NullReporter())
    rounded = []

    def to_the_last(rows: np.ndarray, saved: np.ndarray, precision: str) -> int:
        """All but AdaLoRA give the same here, however it is rounded."""
        rounded.append(precision)
        return differing(rows, saved, "bf16" if name == "adalora" else "fp32")

    monkeypatch.setattr(artifact, "differing", to_the_last)
    again = reload({"prepared": prepared, "setup": setup.as_dict(), "seed": 7, "out": str(tmp_path)}, NullReporter())
    assert again["differing"] == 0 < again["rows"]
    assert rounded == ["bf16" if name == "adalora" or "top_layers" in choices else "fp32"]


def test_what_is_rounded_to_bf16_may_differ_in_its_last_digit() -> None:
    saved = np.array([[22.63, 4.0, 0.0], [0.31, 1.0, 0.0]], dtype=np.float32)
    rounded, other = saved * np.float32(1.003), saved * np.float32(1.03)
    assert [differing(rounded, saved, precision) for precision in ("bf16", "fp32")] == [0, 2]
    assert differing(other, saved, "bf16") == 2
