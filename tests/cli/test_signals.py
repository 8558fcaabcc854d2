"""A command that is ended while it works: its code and one line, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import peftcost


def model_in(folder: Path) -> Path:
    """As much of a trained folder as is looked at before the rows are read."""
    folder.mkdir()
    info: dict[str, Any] = {"model": "builtin:minilm", "task": "text-classification", "metric": "accuracy", "padding": {}}
    info |= {"targets": {"kind": "classes", "names": ["bad", "good"]}, "max_positions": 8, "max_length": 8}
    setup = {"method": "full", "hyperparameters": {}, "stop_examples": 1}
    card = {"dataset_info": info, "setup": setup, "columns": {"text": "t", "label": "l"}}
    (folder / "peftcost.json").write_text(json.dumps(card))
    save_file({"a": np.zeros(1)}, folder / "model.safetensors")
    return folder


def opened_once_it_is_read(pipe: Path) -> int:
    """A pipe's end to write to: who reads it waits for more."""
    for _ in range(600):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.1)
    raise TimeoutError(pipe)


@pytest.mark.parametrize(
    ("command", "sent", "code"),
    [
        ("check DATA --label l", signal.SIGHUP, 143),
        ("predict MODEL --data DATA -o out.csv", signal.SIGTERM, 143),
        ("evaluate MODEL --data DATA", signal.SIGINT, 130),
    ],
)
def test_whatever_ends_it_nothing_is_left(tmp_path: Path, command: str, sent: signal.Signals, code: int) -> None:
    data, scratch = tmp_path / "rows.csv", tmp_path / "scratch"
    os.mkfifo(data)
    scratch.mkdir()
    words = {"DATA": data.name, "MODEL": model_in(tmp_path / "model").name}
    arguments = [words.get(word, word) for word in command.split()]
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(Path(peftcost.__file__).parent.parent)}
    called = [sys.executable, "-m", "peftcost", *arguments]
    with subprocess.Popen(called, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        written = opened_once_it_is_read(data)
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
    os.close(written)
    assert (process.returncode, said) == (code, f"peftcost: {'Interrupted' if code == 130 else 'Terminated'}.\n")
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "rows.csv", "scratch"]


@pytest.mark.parametrize(
    "loses_it",
    [
        "import loses_what_is_raised",
        "Dying(); time.sleep(0.5)",
    ],
)
def test_what_is_lost_where_it_is_raised_comes_again(tmp_path: Path, loses_it: str) -> None:
    """Modules of Cython clear whatever is raised as they are imported, and no destructor can raise."""
    sending = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)"
    (tmp_path / "loses_what_is_raised.py").write_text(f"try:\n    {sending}\nexcept BaseException:\n    pass\n")
    program = f"""
import time
from peftcost.cli.signals import signals

class Dying:
    def __del__(self):
        {sending}

signals.listen()
try:
    {loses_it}
    time.sleep(5)
    print("went on")
except KeyboardInterrupt:
    print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ended\n", "")
