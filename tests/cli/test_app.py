"""What stands before the commands: version, help, completion, and Ctrl-C at once."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import peftcost
from peftcost.cli import app, signals


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "peftcost", *arguments]
    return subprocess.run(
        command, env={**os.environ, "COLUMNS": "100", **environment}, capture_output=True, text=True, timeout=60
    )


def test_the_version_is_the_installed_one() -> None:
    assert peftcost.__version__ == version("peftcost")
    assert run("--version").stdout == f"peftcost {version('peftcost')}\n"


def test_the_version_needs_no_torch() -> None:
    code = "import sys, peftcost; peftcost.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_no_command_shows_the_help() -> None:
    alone = run()
    assert alone.returncode == 0
    assert alone.stdout == run("--help").stdout


def test_search_shows_its_options_in_groups() -> None:
    text = run("search", "--help").stdout
    places = [text.index(f"\n{group}:\n") for group in ("Task", "Budget and devices", "Search", "Output", "Options")]
    assert places == sorted(places)
    assert places[1] < text.index("  --budget") < text.index("  --devices") < places[2]


@pytest.mark.parametrize(("words", "completion"), [("peftcost sea", "search"), ("peftcost search --bu", "--budget")])
def test_shells_can_complete(words: str, completion: str) -> None:
    last = str(len(words.split()) - 1)
    code = "import sys; sys.argv[0] = 'peftcost'; from peftcost.__main__ import main; main()"
    environment = {**os.environ, "_PEFTCOST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": last}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert completion in done.stdout.split()


def test_ctrl_c_during_the_imports_says_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    ours = str(Path(peftcost.__file__).parent.parent)
    done = run("search", PYTHONPATH=os.pathsep.join([str(tmp_path), ours]))
    assert done.returncode == 130
    assert done.stderr == "peftcost: Interrupted.\n"


def test_ctrl_c_before_a_command_begins_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "app", interrupted)
    monkeypatch.setattr(signals.Signals, "listen", lambda self: None)
    monkeypatch.setattr(signals.Signals, "ignore", lambda self: None)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.startswith("peftcost: Interrupted.")


def test_output_that_nobody_reads_is_no_fault_of_ours() -> None:
    done = subprocess.Popen([sys.executable, "-m", "peftcost", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout is not None and done.stderr is not None
    done.stdout.close()
    assert (done.wait(60), done.stderr.read()) == (141, b"")
    done.stderr.close()


@pytest.mark.parametrize(
    "words", ["No space left on device (os error 28)", "(sqlite3.OperationalError) database or disk is full"]
)
def test_a_full_disk_is_told_whatever_library_wraps_it(words: str) -> None:
    error = ValueError("invalid data in the commit")
    error.__cause__ = RuntimeError(words)
    said, code = app.how_it_ended(error)
    assert code == 4
    assert "disk is full" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["recommend", "run", "--price", "nan"], "--price is no number"),
        (["recommend", "run", "--price", "-1"], "is not a price"),
        (["diff", "run", "run", "--margin", "nan"], "--margin"),
        (["check", "file.csv", "--seed", "-1"], "--seed"),
        (["train", "recipe.yaml", "-o", "model", "--early-stopping", "0"], "--early-stopping"),
    ],
)
def test_numbers_that_are_none_are_refused(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
