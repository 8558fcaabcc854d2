"""Files of data sets on the hub, from a local cache: there is no network here."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from peftcost.cli.app import app
from peftcost.data.hub_files import located
from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.task.splits import load_task_data
from peftcost.task.task import load_task

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = f"hf://datasets/owner/things@{COMMIT}/data/train.csv"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as `huggingface_hub` lays it out, with one file."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    file = tmp_path / "hub" / "datasets--owner--things" / "snapshots" / COMMIT / "data" / "train.csv"
    file.parent.mkdir(parents=True)
    file.write_text("text,label\n" + "".join(f"a text {i},{'ab'[i % 2]}\n" for i in range(40)))
    return file


def load(folder: Path, data: str) -> None:
    (folder / "task.yaml").write_text(f"model: builtin:minilm\ndata: {data}\n")
    load_task_data(load_task(folder / "task.yaml"), 0)


def test_a_file_in_the_cache_needs_no_network(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(f"model: builtin:minilm\ndata: {{train: {ADDRESS}}}\n")
    task = load_task(tmp_path / "task.yaml")
    data = load_task_data(task, 0)
    assert task.files.train == ADDRESS
    assert data.train[0]["place"].startswith(f"{ADDRESS}, line ")
    assert len(data.train) + len(data.dev) + len(data.test) == 40


def test_every_command_takes_the_address(cache: Path, tmp_path: Path) -> None:
    task = load_task(ADDRESS)
    assert task.files.train == located(ADDRESS) == ADDRESS
    assert read_table(located(ADDRESS)).path == ADDRESS
    done = CliRunner().invoke(app, ["init", ADDRESS, "-o", str(tmp_path / "task.yaml")])
    assert done.exit_code == 0, done.output
    drafted = load_task(tmp_path / "task.yaml")
    assert (drafted.data, drafted.columns) == (ADDRESS, {"text": "text", "label": "label"})
    assert load_task_data(drafted, 0).fingerprint == load_task_data(task, 0).fingerprint


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("hf://datasets/owner/things/train.csv", "names no commit; write the 40 digits"),
        ("hf://datasets/owner/things@main/train.csv", r"names no commit \(main can move\)"),
        (f"hf://datasets/owner/things@{COMMIT}", "names no file"),
        ("hf://things", "is no address"),
        (ADDRESS.replace("train", "other"), "not in the local cache, and HF_HUB_OFFLINE forbids"),
    ],
)
def test_addresses_that_cannot_be_read(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, says: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    with pytest.raises(UserError, match=says):
        load(tmp_path, address)
