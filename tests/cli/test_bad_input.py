"""What people get wrong: one clear message, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).with_name("peftcost")
GOOD = "".join(f"text number {i} about things,{'good' if i % 2 else 'bad'}\n" for i in range(60))


def peftcost(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


def rejected(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for words in says:
        assert words in done.stderr
    assert not list(Path(done.args[0]).parent.glob("runs"))


def test_help_is_quick(tmp_path: Path) -> None:
    """A small part of what importing torch takes, on any machine. The processor's time counts: tests have neighbours."""

    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=120)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds(BIN, "--help") for _ in range(5)) < 0.2 * seconds(sys.executable, "-c", "import torch")


def test_python_m_does_the_same(tmp_path: Path) -> None:
    ours = peftcost("--help", cwd=tmp_path).stdout
    module = subprocess.run([sys.executable, "-m", "peftcost", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert module.stdout.split("\n", 3)[2:] == ours.split("\n", 3)[2:]


def test_no_task_file_says_what_to_do(tmp_path: Path) -> None:
    rejected(peftcost("search", "--budget", "5gpu-min", cwd=tmp_path), "task.yaml", "peftcost init")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ["reviews.csv", "empty"]),
        ("review,stars\n", ["reviews.csv"]),
        ("review,stars\n" + GOOD.replace(",bad", ",good"), ["good", "only the label"]),
        ("review,stars\n" + GOOD + ",bad\n", ["reviews.csv", "line 62", "review"]),
        ("review,stars\n" + GOOD + "a,b,c,d\n", ["reviews.csv", "line 62"]),
        ("review,stars\n" + GOOD + "something,\n", ["reviews.csv", "line 62", "stars"]),
        ("review,rating\n" + GOOD, ["stars", "rating"]),
    ],
    ids=["empty", "header only", "one class", "empty text", "ragged", "no label", "missing column"],
)
def test_data_that_cannot_be_used(tmp_path: Path, content: str, says: list[str]) -> None:
    (tmp_path / "reviews.csv").write_text(content)
    rejected(peftcost("search", "reviews.csv", "--label", "stars", "--budget", "5gpu-min", cwd=tmp_path), *says)
    assert not (tmp_path / "runs").exists()


def test_broken_encoding_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_bytes(b"review,stars\nfine,good\nbad \xff\xfe byte,bad\n")
    done = peftcost("search", "reviews.csv", "--label", "stars", "--budget", "5gpu-min", cwd=tmp_path)
    rejected(done, "reviews.csv", "line 3", "UTF-8")


def test_a_label_that_train_lacks(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + GOOD)
    (tmp_path / "dev.csv").write_text("text,label\na new thing,good\nanother,ugly\n")
    (tmp_path / "task.yaml").write_text("model: builtin:minilm\ndata: {train: train.csv, dev: dev.csv}\n")
    rejected(peftcost("search", "--budget", "5gpu-min", cwd=tmp_path), "dev.csv", "line 3", "ugly")


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("model: builtin:minilm\ndata: train.csv\nmargn: 0.02\n", ["margn", "margin"]),
        ("model: builtin:minilm\ndata: train.csv\nmethods: [lorra]\n", ["lorra", "lora"]),
        ("model: builtin:minilm\ndata: train.csv\nmetric: f2\n", ["f2"]),
        ("model: builtin:minilm\nmodel: x\ndata: train.csv\n", ["model", "twice"]),
        ("data: train.csv\n", ["model"]),
        ("model: [unclosed\n", ["task.yaml"]),
        ("model: builtin:minilm\ndata: nothere.csv\n", ["nothere.csv"]),
        ("model: ./no-model\ndata: train.csv\n", ["no-model"]),
        ("model: ./half-model\ndata: train.csv\n", ["half-model", "weights"]),
    ],
)
def test_task_files_that_are_wrong(tmp_path: Path, yaml: str, says: list[str]) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + GOOD)
    (tmp_path / "half-model").mkdir()
    (tmp_path / "half-model" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "task.yaml").write_text(yaml)
    rejected(peftcost("search", "--budget", "5gpu-min", cwd=tmp_path), *says)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("budget", "says"), [("0gpu-h", "above zero"), ("4gpuh", "4gpu-h"), ("nan", "not understood"), ("", "shell")]
)
def test_budgets_that_are_none(tmp_path: Path, budget: str, says: str) -> None:
    rejected(peftcost("search", "--task", "builtin:tweets", "--budget", budget, cwd=tmp_path), says)


@pytest.mark.parametrize("methods", ["lorra", "full,lorra"])
def test_unknown_methods(tmp_path: Path, methods: str) -> None:
    arguments = ("--task", "builtin:tweets", "--methods", methods, "--budget", "5gpu-min")
    rejected(peftcost("search", *arguments, cwd=tmp_path), "lorra", "Did you mean 'lora'")


def test_unknown_flags_and_commands(tmp_path: Path) -> None:
    rejected(peftcost("search", "--bugdet", "5gpu-min", cwd=tmp_path), "--bugdet")
    rejected(peftcost("serch", cwd=tmp_path), "serch")


def test_a_missing_hub_model_is_told_before_the_clock_starts(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + GOOD)
    (tmp_path / "task.yaml").write_text("model: nobody/nothing-like-it\ndata: train.csv\n")
    done = peftcost("search", "--budget", "5gpu-min", cwd=tmp_path)
    assert done.returncode in (2, 4)
    assert "nobody/nothing-like-it" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_folders_that_exist_or_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    arguments = ("search", "--task", "builtin:tweets", "--budget", "5gpu-min", "--out")
    rejected(peftcost(*arguments, "there", cwd=tmp_path), "there", "exists")
    (tmp_path / "file").write_text("")
    rejected(peftcost(*arguments, "file/run", cwd=tmp_path), "file")


def test_a_task_is_not_written_where_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n" + GOOD)
    rejected(peftcost("init", "reviews.csv", "-o", "no/task.yaml", cwd=tmp_path), "no/task.yaml", "choose another --out")


@pytest.mark.parametrize("verb", ["resume", "report", "recommend"])
def test_what_is_no_run(tmp_path: Path, verb: str) -> None:
    rejected(peftcost(verb, "nowhere", cwd=tmp_path), "nowhere", "not a run")


def test_init_writes_a_task_that_search_takes(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("review,stars\n" + GOOD)
    done = peftcost("init", "reviews.csv", "--label", "stars", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "task.yaml").read_text()
    assert "stars" in text
    assert "#" in text
    rejected(peftcost("init", "reviews.csv", "--label", "stars", cwd=tmp_path), "task.yaml exists")
    rejected(peftcost("search", "--budget", "1gpu-s", cwd=tmp_path), "budget")


def test_methods_says_what_runs_on_a_model(tmp_path: Path) -> None:
    import json

    done = peftcost("methods", "--model", "builtin:minilm", "--json", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {"full", "frozen", "bitfit", "lora", "adalora", "ia3", "prefix", "prompt", "houlsby"} <= rows.keys()
    assert rows["lora"]["runs"]
    assert "arXiv" in rows["lora"]["citation"]


@pytest.fixture(autouse=True)
def quiet_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert shutil.which(str(BIN)) or os.access(BIN, os.X_OK)


def a_search(folder: Path, start_new_session: bool = False) -> subprocess.Popen[str]:
    """One that can be interrupted, wherever the tests were started."""
    (folder / "reviews.csv").write_text("review,stars\n" + GOOD)
    return subprocess.Popen(
        [BIN, "search", "reviews.csv", "--label", "stars", "--budget", "1gpu-h", "--methods", "frozen"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    process = a_search(tmp_path)
    assert process.stderr is not None
    while not list(tmp_path.glob("runs/*/events.jsonl")):
        assert process.stderr.readline(), "it ended before it was interrupted"
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(60) == 130
    assert "peftcost resume" in said


@pytest.mark.parametrize("after_seconds", [pytest.param(0.3, marks=pytest.mark.timed), 1.5, 2.2, 2.6, 3.0, 4.0, 6.0])
def test_ctrl_c_at_any_moment_of_the_start_leaves_one_line(tmp_path: Path, after_seconds: float) -> None:
    """As a terminal sends it: to the command and to all processes that it has started."""
    process = a_search(tmp_path, start_new_session=True)
    time.sleep(after_seconds)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("peftcost: Interrupted")
    assert said.count("peftcost:") == 1
