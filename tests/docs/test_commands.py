"""The commands in README and docs: all of them parse, and those that take seconds run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from PIL import Image

from peftcost.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
QUICK = ("--version", "init", "methods")
"""What takes seconds. The others train, measure the machine, or need a run."""
REVIEWS = "review,stars\n" + "".join(f"text number {i} about things,{'good' if i % 2 else 'bad'}\n" for i in range(60))


CHATS = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"what is {i}"}, {"role": "assistant", "content": f"a number {i}"}]})
    + "\n"
    for i in range(60)
)


def write_data(folder: Path) -> None:
    """What the pages give names to."""
    (folder / "reviews.csv").write_text(REVIEWS)
    flags = "".join(f"a comment {i},{int(i % 2 == 0)},{int(i % 3 == 0)}\n" for i in range(60))
    (folder / "toxic.csv").write_text(f"comment,rude,threat\n{flags}")
    (folder / "chats.jsonl").write_text(CHATS)
    for name, colour in product(("photos", "pictures"), ("red", "blue")):
        (folder / name / colour).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (8 + i, 8), colour).save(folder / name / colour / f"{i}.png")
    for name, pitch in product(("recordings", "sounds"), (0.1, 0.9)):
        (folder / name / str(pitch)).mkdir(parents=True)
        for i in range(10):
            soundfile.write(folder / name / str(pitch) / f"{i}.wav", np.sin(pitch * np.arange(800 + i)), 8000)


def shown_commands() -> list[list[str]]:
    """The arguments of every `peftcost …`: in code blocks, and in sentences if there are arguments."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        lines = [line for language, block in blocks if not language for line in block.splitlines()]
        lines += re.findall(r"`(peftcost [^`\s]+ [^`\n]+)`", text)
        for line in lines:
            if line.startswith("peftcost "):
                _, *arguments = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)  # brackets: it can be left out
                found[shlex.join(arguments)] = arguments
    return list(found.values())


@pytest.mark.parametrize("arguments", shown_commands(), ids=shlex.join)
def test_each_command_parses(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    if arguments[0].startswith("-"):
        assert arguments[0] in {name for parameter in group.params for name in parameter.opts}
    else:
        name, command, rest = group.resolve_command(typer.Context(group), arguments)
        command.make_context(name, rest)


def test_quick_commands_run_in_the_order_of_the_pages(tmp_path: Path) -> None:
    write_data(tmp_path)
    quick = [arguments for arguments in shown_commands() if arguments[0] in QUICK and "FILE" not in arguments]
    assert {arguments[0] for arguments in quick} == set(QUICK)
    for number, arguments in enumerate(quick):
        begins_anew = arguments[0] == "init" and (tmp_path / "task.yaml").exists()  # each page begins with its own data
        out = ["--out", f"{number}.yaml"] if begins_anew else []
        command = [sys.executable, "-m", "peftcost", *arguments, *out]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{shlex.join(arguments)}: {done.stderr}"
        assert done.stdout
