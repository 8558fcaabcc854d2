"""Where the recommended setup errs: read from the run's folder and its data, shown as text, and left out on demand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report.folders import with_examples

from peftcost.errors import UserError
from peftcost.report.examples import Shown, on_dev, slice_of
from peftcost.report.html import write_files
from peftcost.task.splits import load_task_data
from peftcost.task.task import load_task


def test_slices_calibration_and_the_hardest_examples(tmp_path: Path) -> None:
    found = on_dev(tmp_path, with_examples(tmp_path))
    assert found is not None and found.examples == 100
    assert len(found.slices["words"]) > 1 and sum(part.examples for part in found.slices["words"]) == 100
    assert found.calibration is not None and found.calibration.accuracy == pytest.approx(0.9)
    assert found.hardest is not None and len(found.hardest) == 10 and found.suspects == 10
    assert all(row.suspect and row.label != row.predicted and row.sure == "> 99 %" for row in found.hardest)
    assert found.hardest[0].place.startswith("dev.jsonl, line ")


def test_copies_of_a_row_make_no_slice_surer(tmp_path: Path) -> None:
    with_examples(tmp_path)
    data = load_task_data(load_task(tmp_path / "task.yaml"), 0)
    rows = np.array([[0, 0], [1, 0]] * 20)  # every other one is right
    everything = np.ones(len(rows), dtype=bool)
    different = slice_of("", everything, rows, data.dev[:40], data)
    copied = slice_of("", everything, rows, data.dev[:2] * 20, data)
    assert different.low.known > 0.3
    assert (copied.examples, copied.low.known, copied.high.known) == (40, 0, 1)


def test_texts_are_escaped_and_left_out_on_demand(tmp_path: Path) -> None:
    result = with_examples(tmp_path)
    shown = write_files(tmp_path, result)["html"].read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(5)" in shown and "<script>alert(5)" not in shown and 'id="hardest"' in shown
    private = write_files(tmp_path, result, Shown(examples=False))["html"].read_text(encoding="utf-8")
    assert "alert(5)" not in private and "dev.jsonl" not in private and 'id="calibration"' in private


def test_rows_are_told_by_a_column_of_the_user(tmp_path: Path) -> None:
    result = with_examples(tmp_path)
    found = on_dev(tmp_path, result, Shown(by="source"))
    assert found is not None
    assert {part.name: part.examples for part in found.slices["source"]} == {"<i>web</i>": 50, "mail": 50}
    page = write_files(tmp_path, result, Shown(by="source"))["html"].read_text(encoding="utf-8")
    assert "By source" in page and "&lt;i&gt;web" in page and "<i>web" not in page
    with pytest.raises(UserError, match=r"no column 'sorce'\. Did you mean 'source'\? It has 'text', 'label', 'source'"):
        on_dev(tmp_path, result, Shown(by="sorce"))


def test_data_that_have_changed_are_not_told_of(tmp_path: Path) -> None:
    result = with_examples(tmp_path)
    file = tmp_path / "dev.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text(
        "\n".join([*lines, json.dumps({"text": "new", "label": json.loads(lines[0])["label"]})]), encoding="utf-8"
    )
    found = on_dev(tmp_path, result)
    assert found is not None and found.hardest is None and found.slices == {} and found.calibration is not None


def test_a_run_of_an_earlier_version_has_rows_alone(tmp_path: Path) -> None:
    result = with_examples(tmp_path)
    for file in tmp_path.rglob("dev_log_probabilities.npy"):
        file.unlink()
    found = on_dev(tmp_path, result)
    assert found is not None and found.calibration is None and found.hardest is None and found.slices
    for file in tmp_path.rglob("dev_rows.npy"):
        np.save(file, np.load(file)[:0])
        file.unlink()
    assert on_dev(tmp_path, result) is None
