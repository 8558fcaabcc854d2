"""All that only a GPU can prove, in one command and one JSON: `make gpu-check`.

python -m benchmarks.gpu.check [--only PART …] [--again]

Needs a GPU, a torch that sees it, and no network; about eight minutes. Each part runs in a process of its own and is written
to benchmarks/results/gpu/CARD.json as soon as it is done, with the commit and the fingerprint of the code that ran. Parts
that are there are run again where the code has changed since, or with --again. `--only steps` means all parts that begin
with that word.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.gpu.sizes import SIZES

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "engine/test_train_state",
    "engine/test_cuda_graphs",
    "engine/test_captured_places",
    "engine/test_layout",
    "engine/test_end_to_end",
    "engine/test_clean",
    "engine/test_attention",
    "methods/test_contract",
)
TESTS = [f"tests/{name}.py" for name in NAMES]
"""Those with tests marked `gpu`: others may import what a bare machine lacks (tests/test_gpu_check.py)."""
PARTS = {
    "doctor": ["-m", "peftcost", "doctor", "--json"],
    "tests": ["-m", "pytest", "-q", "-m", "gpu", *TESTS],
    "search": ["-m", "benchmarks.gpu.search"],
    **{f"steps {size.name}": ["-m", "benchmarks.gpu.steps", size.name] for size in SIZES},
    **{f"memory {size.name}": ["-m", "benchmarks.gpu.memory", size.name] for size in SIZES},
    "attention": ["-m", "benchmarks.gpu.attention"],
    "places": ["-m", "benchmarks.gpu.places"],
    "layout": ["-m", "benchmarks.gpu.layout"],
    "pictures": ["-m", "benchmarks.gpu.pictures"],
    "mix minilm": ["-m", "benchmarks.gpu.mix", "minilm:20"],
    "mix llama-135m": ["-m", "benchmarks.gpu.mix", "llama-135m:10"],
}
SOURCES = ("peftcost/**/*.py", "benchmarks/gpu/*.py", "benchmarks/trainer_script.py", *TESTS)
LIMIT_SECONDS = 400
"""Of a part: the others are to have their turn."""
TEXT_PARTS = ("tests",)
"""Their output is no JSON: its last lines are kept."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="PART", default=[], help="the parts to run")
    parser.add_argument("--again", action="store_true", help="run parts again that have a result")
    asked = parser.parse_args()
    parts = [part for part in PARTS if not asked.only or {part, part.partition(" ")[0]} & set(asked.only)]
    if not parts:
        parser.error(f"the parts are: {', '.join(PARTS)}")
    card = card_name()
    lacks = lacking(card)
    if lacks or card is None:
        told = f"Nothing was checked: {'; '.join(lacks)}. Run this on a machine with an NVIDIA GPU"
        print(f"{told}, as `make gpu-check PYTHON=…`, with a Python whose torch sees it.", file=sys.stderr)
        return 4
    file = ROOT / "benchmarks" / "results" / "gpu" / f"{card.replace(' ', '-')}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"card": card, "parts": {}}
    now = {"code": code_fingerprint(), "commit": commit(), "versions": versions(), "system": platform.platform()}
    for part in parts:
        before = found["parts"].get(part, {})
        if asked.again or not before.get("ok") or before.get("code") != now["code"]:
            found["parts"][part] = {**run(part), **now}
            write(file, found)
        outcome = found["parts"][part]
        print(f"{part}: {'ok' if outcome['ok'] else 'FAILED'} in {outcome['seconds']:.0f} s", flush=True)
    print(f"Wrote {file}")
    return 0 if all(found["parts"][part]["ok"] for part in parts) else 1


def lacking(card: str | None) -> list[str]:
    """What is not here and has to be. Free of what a bare Python lacks."""
    no_card = [] if card else ["nvidia-smi shows no GPU here"]
    try:
        no_torch = [f"the torch of {sys.executable} is a CPU build"] if "+cpu" in version("torch") else []
    except PackageNotFoundError:
        no_torch = [f"{sys.executable} has no torch"]
    return no_card + no_torch


def run(part: str) -> dict[str, Any]:
    """One part in a process of its own; what it printed last, or the end of its errors."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    began = time.monotonic()
    command = ["timeout", str(LIMIT_SECONDS), sys.executable, *PARTS[part]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    outcome: dict[str, Any] = {
        "ok": done.returncode == 0,
        "seconds": round(time.monotonic() - began, 1),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if done.returncode:
        return {**outcome, "exit_code": done.returncode, "error": (done.stdout + done.stderr)[-3000:]}
    return {**outcome, "result": done.stdout[-2000:] if part in TEXT_PARTS else json_of(done.stdout)}


def json_of(text: str) -> Any:
    """The JSON that a part printed, or the last line of it (Trainer prints beside it)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(text.strip().splitlines()[-1])


def write(file: Path, found: dict[str, Any]) -> None:
    """Aside, then renamed: a kill at any time leaves the parts before it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".new")
    aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    aside.replace(file)


def commit() -> str | None:
    """With "+" where files differ from it; None in a copy without git."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def code_fingerprint() -> str:
    """Of all that runs: a device machine may have a copy without git."""
    digest = hashlib.sha256()
    for file in sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)}):
        digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def card_name() -> str | None:
    """The first GPU's name, from nvidia-smi."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[0].strip() if lines else None


def versions() -> dict[str, str]:
    code = "import json; from peftcost.core.versions import versions; print(json.dumps(versions()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main())
