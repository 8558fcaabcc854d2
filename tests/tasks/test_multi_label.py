"""Multi-label classification: how rows are read, metrics as scikit-learn has them, the threshold, and one real training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from peftcost.core.setup import Setup
from peftcost.data.readers import read_table
from peftcost.data.table import Table
from peftcost.engine.artifact import open_test, reload
from peftcost.engine.dataset import load_dataset_info
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.judged import as_trained
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.task.rows import usable_rows
from peftcost.task.task import Task
from peftcost.tasks import get_task_type, multi_label
from peftcost.tasks.label_metrics import macro_f1, micro_f1
from peftcost.tasks.multi_label import shifted
from peftcost.tasks.targets import Labels, expect

KIND = get_task_type("multi-label")


def read(rows: list[dict[str, Any]], labels: Any = "labels") -> list[list[str]]:
    table = Table("x.csv", list(rows[0]), [{"text": "a", **row} for row in rows], list(range(2, len(rows) + 2)))
    return [example["labels"] for example in KIND.read(table, {"text": "text", "labels": labels})]


def test_a_file_is_looked_through_once_also_where_its_rows_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": "a", "labels": ["x", "y"]} for _ in range(5)]
    table, seen = Table("data.jsonl", ["text", "labels"], rows, list(range(1, 6))), []
    monkeypatch.setattr(multi_label, "holds_vectors", lambda table, column: seen.append(len(table.rows)))
    for i in range(5):
        get_task_type("multi-label").read(table.only([i]), {"text": "text", "labels": "labels"})
    assert seen == [5]


def test_labels_in_one_cell() -> None:
    assert read([{"labels": "a|b, c"}, {"labels": "b, c"}]) == [["a", "b, c"], ["b, c"]]  # bars join, so commas do not
    assert read([{"labels": "b; a;b"}, {"labels": "[]"}]) == [["b", "a"], []]
    assert read([{"labels": [1, 1.0, "1"]}, {"labels": []}]) == [["1"], []]


def test_labels_in_columns_of_their_own() -> None:
    rows = [{"rude": "1", "sad": "0.0"}, {"rude": False, "sad": True}, {"rude": 0, "sad": "FALSE"}]
    assert read(rows, ["rude", "sad"]) == [["rude"], ["sad"], []]
    with pytest.raises(UserError, match=r"line 3, column 'sad': expected 1 .* but got '2'"):
        read([{"rude": "1", "sad": "0"}, {"rude": "1", "sad": "2"}], ["rude", "sad"])


def test_missing_labels_are_not_none() -> None:
    with pytest.raises(UserError, match=r"line 3, column 'labels': the labels are missing; write \[\]"):
        read([{"labels": "a|b"}, {"labels": ""}])


def test_a_bad_row_does_not_change_how_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text('text,labels\none,"x, y"\ntwo,z|z2\n,z\n', encoding="utf-8")
    columns = {"text": "text", "labels": "labels"}
    found, _, told = usable_rows(lambda table: KIND.read(table, columns), read_table(file), skip=True)
    assert [example["labels"] for example in found] == [["x, y"], ["z", "z2"]]
    assert len(told) == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_f1_is_scikit_learns_of_the_resample(seed: int, n: int, k: int) -> None:
    random = np.random.default_rng(seed)
    margins, true = random.normal(size=(n, k)), random.integers(0, 2, (n, k))
    weights = random.integers(0, 3, (1, n))
    rows = np.concatenate([margins, true], axis=1).astype(np.float32)
    a, b = np.repeat(true, weights[0], axis=0), np.repeat(margins > 0, weights[0], axis=0)
    there = (a.sum(axis=0) + b.sum(axis=0)) > 0
    micro = f1_score(a, b, average="micro", zero_division=0) if len(a) else 0.0
    assert micro_f1(rows, weights)[0] == pytest.approx(micro)
    macro = np.mean([f1_score(a[:, j], b[:, j], zero_division=0) for j in np.flatnonzero(there)]) if there.any() else 0.0
    assert macro_f1(rows, weights)[0] == pytest.approx(macro)


def test_the_threshold_is_the_best_of_those_tried() -> None:
    """Of a label that is given too rarely at 0.5."""
    true = np.array([[1], [1], [1], [0], [0]])
    logits = np.array([[-0.5], [-0.8], [-1.0], [-1.8], [-2.5]])  # .38, .31, .27 against .14, .08
    rows = np.concatenate([logits, true], axis=1).astype(np.float32)
    fitted, targets = KIND.fitted(rows, Labels(("a",)), KIND.metrics["micro_f1"])
    assert 0.14 < expect(Labels, targets).threshold < 0.27
    assert micro_f1(fitted, np.ones((1, 5)))[0] == 1.0
    assert micro_f1(rows, np.ones((1, 5)))[0] == 0.0
    np.testing.assert_array_equal(fitted, shifted(rows, expect(Labels, targets).threshold))


def test_a_training_keeps_its_threshold_with_the_artifact(tmp_path: Path, minilm: Path) -> None:
    """Two labels that stand in the words: learnt, and the test split is judged by dev's threshold."""
    words = {"colour": ["red", "blue", "green"], "animal": ["dog", "cat", "horse"]}
    rows = ["text,colour,animal"]
    random = np.random.default_rng(0)
    for i in range(240):
        flags = random.integers(0, 2, 2)
        said = [str(random.choice(words[name])) for name, flag in zip(words, flags, strict=True) if flag]
        rows.append(f"number {i} {' '.join(said)} of the house,{flags[0]},{flags[1]}")
    file = tmp_path / "x.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    columns = {"text": "text", "labels": ["colour", "animal"]}
    task = Task(model=str(minilm), task="multi-label", data=str(file), columns=columns, metric="macro_f1")
    prepared = str(prepare(prepare_payload(task, 0, str(minilm), "minilm"), NullReporter())["prepared"])
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 2e-3}, 480)
    out = tmp_path / "out"
    out.mkdir()
    measured = train(TrainJob(prepared, setup, 0, str(out)), NullReporter())
    assert measured["quality"] > 0.9
    payload = {"prepared": prepared, "setup": setup.as_dict(), "seed": 0, "out": str(out)}
    assert reload(payload, NullReporter())["differing"] == 0
    open_test(payload, NullReporter())
    rows_of_test = np.load(out / "test_rows.npy")
    assert macro_f1(rows_of_test, np.ones((1, len(rows_of_test))))[0] > 0.85
    info = load_dataset_info(Path(prepared))
    assert expect(Labels, as_trained(info, out).targets).names == ("animal", "colour")
