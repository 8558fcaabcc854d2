"""What predicting writes beside the user's columns, and with which base: on another machine, too."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from peftcost.core.setup import Setup
from peftcost.data.fingerprint import model_fingerprint
from peftcost.data.readers import read_table
from peftcost.engine.artifact import predict, write_card
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.train import train
from peftcost.errors import PeftcostError, UserError
from peftcost.methods import get_method
from peftcost.recipe.predict import (
    CARD_FIELDS,
    base_of,
    check_is_ours,
    check_out,
    read_card,
    renamed,
    run_in_worker,
    with_base_found,
    write_rows,
)
from peftcost.store.outputs import written_aside

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = [{"text": "I love this airline"}, {"text": "I do not"}]


def test_what_an_earlier_model_said_is_kept() -> None:
    said, roles = {"label": "good", "probability_good": 0.75}, ("text", "label")
    assert renamed(said, ["text"], roles) == {"predicted_label": "good", "probability_good": 0.75}
    columns = ["text", "predicted_label", "probability_good", "predicted_probability_good"]
    assert list(renamed(said, columns, roles)) == ["predicted_predicted_label", "predicted_predicted_probability_good"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_half_a_surrogate_pair_in_a_column_that_is_kept_is_written(tmp_path: Path, ending: str) -> None:
    row, out = {"text": "fine", "author": "\ud83d"}, tmp_path / f"out{ending}"
    write_rows(out, list(row), [row])
    if ending == ".jsonl":
        assert json.loads(out.read_text(encoding="utf-8")) == row
    else:
        assert list(csv.DictReader(out.open(encoding="utf-8"))) == [{"text": "fine", "author": "\\ud83d"}]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_what_json_has_no_number_for_is_null_and_told(tmp_path: Path, ending: str) -> None:
    row, out = {"text": "fine", "price": 1.5, "seen": [{"at": float("inf")}, float("nan"), "x"]}, tmp_path / f"out{ending}"
    (told,) = write_rows(out, list(row), [row, row])
    assert told.endswith("JSON has no NaN and no Infinity, so null is written for them in 'seen'.")
    assert read_table(out).rows[1]["seen"] == [{"at": None}, None, "x"]
    (told,) = write_rows(tmp_path / "o.jsonl", ["price"], [{"price": float("nan")}])
    assert (tmp_path / "o.jsonl").read_text() == '{"price": null}\n' and "'price'" in told
    assert write_rows(out, ["price"], [{"price": 1.5}, {"price": None}]) == []


def test_a_nul_of_the_users_makes_no_csv_that_nobody_reads(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.csv", ["text"], [{"text": "a\0b"}])
    assert read_table(tmp_path / "o.csv").rows == [{"text": r"a\x00b"}]


def test_a_folder_that_was_copied_in_part_says_so(tmp_path: Path) -> None:
    card: dict[str, Any] = {"dataset_info": {}, "setup": {}, "columns": {}}
    for outer, _, inner in (field.partition(".") for field in CARD_FIELDS):
        card[outer] |= {inner.partition(".")[0]: {"kind": "classes"}} if inner else {}
    (tmp_path / "peftcost.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="has no weights"):
        read_card(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    save_file({"a": np.zeros(9)}, weights)
    assert read_card(tmp_path)["columns"] == {}
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is not whole; copy the folder again"):
        read_card(tmp_path)
    damages = {b"{": "is no JSON", b"[]": "holds no fields", b"{}": "lacks '", b"": "is empty", b"\xff": "is no JSON"}
    for name in ("config.json", "adapter_config.json", "peftcost.json"):
        for content, why in damages.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UserError, match=rf"{name} is damaged \(it {why}.*; copy the whole folder again"):
                read_card(tmp_path)
        (tmp_path / name).write_text('{"model_type": "bert", "peft_type": "LORA"}')
    with pytest.raises(UserError, match="There is no folder .*nothing"):
        read_card(tmp_path / "nothing")


def test_what_is_read_is_not_overwritten_and_no_ending_promises_another_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("text\nfine\n")
    with mine.open() as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", file)
        with pytest.raises(UserError, match="is the data file itself"):
            check_out(Path("-"), mine)
        check_out(Path("-"), tmp_path / "other.csv")
    pictures = tmp_path / "pictures"
    (pictures / "train").mkdir(parents=True)
    check_out(pictures, pictures / "metadata.csv")
    for table in (pictures / "metadata.csv", pictures / "train" / "metadata.jsonl"):
        table.write_text("file_name,label\n1.png,cat\n")
        with pytest.raises(UserError, match="is the table of the files in .*pictures, which would be overwritten"):
            check_out(pictures, table)
    with pytest.raises(UserError, match="/dev/stdout"):
        check_out(mine, Path("-"))
    with pytest.raises(UserError, match="is a folder; say which file in it"):
        check_out(mine, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"new\.csv cannot be written: it is read-only"):
        patch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write anywhere
        check_out(mine, tmp_path / "new.csv")
    for name in ("out.parquet", "out.json", "out.csv.gz"):
        with pytest.raises(UserError, match=r"written as \.csv, \.tsv or \.jsonl"):
            check_out(mine, tmp_path / name)
    for name, content in (
        ("o.tsv", "a\tb\n1\tx, y\n"),
        ("o.ndjson", '{"a": 1, "b": "x, y"}\n'),
        ("o.CSV", 'a,b\n1,"x, y"\n'),
    ):
        check_out(mine, out := tmp_path / name)
        write_rows(out, ["a", "b"], [{"a": 1, "b": "x, y"}])
        assert out.read_text().replace("\r", "") == content


def test_a_file_that_predicting_has_not_written_is_kept(tmp_path: Path) -> None:
    ours, row = ["predicted_label"], {"text": "fine", "predicted_label": "good", "probability_good": 0.75}
    for ending in (".csv", ".tsv", ".jsonl"):
        check_is_ours(out := tmp_path / f"out{ending}", ours)
        write_rows(out, list(row), [row, row])
        check_is_ours(out, ours)
        whole = out.read_bytes()
        out.write_bytes(whole[:-3])  # broken off
        check_is_ours(out, ours)
        out.write_bytes(b"")
        check_is_ours(out, ours)
    mine = {
        "train.csv": "text,label\nfine,good\n",
        "other.tsv": whole.decode(),
        "mine.jsonl": '{"text": "fine", "label": "good"}\n',
        "list.jsonl": '["predicted_label"]\n',
        "notes.txt": "predicted_label of all rows\n",
    }
    for name, content in mine.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=r"it has no column 'predicted_label'.*another -o, or remove it"):
            check_is_ours(tmp_path / name, ours)
    check_is_ours(Path("/dev/stdout"), ours)


def test_a_file_is_overwritten_once_its_successor_is_whole(tmp_path: Path) -> None:
    out, link = tmp_path / "out.csv", tmp_path / "link.csv"
    out.write_text("old")
    out.chmod(0o640)
    link.symlink_to(out)
    with pytest.raises(KeyboardInterrupt), written_aside(link) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt
    assert (out.read_text(), sorted(p.name for p in tmp_path.iterdir())) == ("old", ["link.csv", "out.csv"])
    write_rows(link, ["a"], [{"a": 1}])
    assert (out.read_text().split(), link.is_symlink(), out.stat().st_mode & 0o777) == (["a", "1"], True, 0o640)
    write_rows(Path("/dev/null"), ["a"], [{"a": 1}])
    assert Path("/dev/null").is_char_device()


def in_hub_cache(model: Path, cache: Path) -> Path:
    """The snapshot of owner/base, as the hub's client lays it out."""
    snapshot = cache / "models--owner--base" / "snapshots" / COMMIT
    return Path(shutil.copytree(model, snapshot))


def trained(out: Path, base: Path, method: str, named: dict[str, Any]) -> Path:
    """A folder as `peftcost train` writes it, of a base that has hardly been trained."""
    from peftcost.engine.job import prepare_payload
    from peftcost.engine.prepare import prepare
    from peftcost.task.task import Rows, load_task

    task = load_task("builtin:tweets").model_copy(update={"model": str(base), "rows": Rows(train=64, dev=30, test=30)})
    prepared = str(prepare(prepare_payload(task, 0, str(base), f"moved {out}"), NullReporter())["prepared"])
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 1e-2}, 64)
    train(TrainJob(prepared, setup, 0, str(out)), NullReporter())
    card = {"prepared": prepared, "setup": setup.as_dict(), "columns": {"text": "text", "label": "sentiment"}}
    write_card({**card, "folder": str(out / "model"), "base": named}, NullReporter())
    return out / "model"


def said(folder: Path) -> list[dict[str, Any]]:
    card = with_base_found(folder, read_card(folder))
    return list(predict({"folder": str(folder), "card": card, "examples": TEXTS}, NullReporter())["rows"])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_trained_folder_works_on_another_machine(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    here, there = tmp_path / "here", tmp_path / "there"
    base = in_hub_cache(tiny_bert, here / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here / "hub"))
    named = {"name": "owner/base", "revision": COMMIT, "fingerprint": model_fingerprint(base)}
    folder = trained(here, base, method, named)
    before = said(folder)
    moved = Path(shutil.copytree(folder, there / "model"))
    if method == "lora":  # a whole model needs no base
        in_hub_cache(tiny_bert, there / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(there / "hub"))
    shutil.rmtree(here)
    assert said(moved) == before
    texts = [file.read_text(encoding="utf-8") for file in moved.glob("*.json")]
    assert not any(str(tmp_path) in text for text in texts)
    if method == "lora":
        config = json.loads((moved / "adapter_config.json").read_text(encoding="utf-8"))
        assert (config["base_model_name_or_path"], config["revision"]) == ("owner/base", COMMIT)


def test_a_base_that_is_gone_or_another_is_named(tiny_bert: Path, tmp_path: Path) -> None:
    prints = model_fingerprint(tiny_bert)
    assert base_of(tmp_path, str(tiny_bert), None, prints) == tiny_bert
    with pytest.raises(UserError, match=rf"goes with the base /gone/bert \(fingerprint {prints[:12]}\), which is not there"):
        base_of(tmp_path, "/gone/bert", None, prints)
    with pytest.raises(UserError, match=r"\(fingerprint 000000000000\), but .* has changed since"):
        base_of(tmp_path, str(tiny_bert), None, "0" * 64)


def test_an_error_points_to_a_log_that_is_there(tiny_bert: Path) -> None:
    card = {"dataset_info": {"model": str(tiny_bert)}}
    with pytest.raises(PeftcostError) as raised:
        run_in_worker("predict", {"folder": str(tiny_bert), "card": card, "examples": []}, "cpu")
    found = re.search(r"The predict job failed: .*\. (/\S+\.log) says more", str(raised.value))
    assert found is not None, str(raised.value)
    assert "Traceback" in Path(found[1]).read_text()
    Path(found[1]).unlink()
