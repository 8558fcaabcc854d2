"""All that only a GPU can prove, in one command and one JSON: `make gpu-check`.

python benchmarks/gpu/check.py [--only PART …] [--again]

Needs a GPU, a torch that sees it, and no network; about eight minutes. Each part runs in a process of its own and is written
to benchmarks/results/gpu/CARD.json as soon as it is done; parts that are there are not run again without --again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "doctor": ["-m", "peftcost", "doctor", "--json"],
    "tests": ["-m", "pytest", "-q", "-m", "gpu", "tests"],
    "search": ["-m", "benchmarks.gpu.search"],
    "steps": ["-m", "benchmarks.gpu.steps"],
    "memory": ["-m", "benchmarks.gpu.memory"],
    "mix": ["-m", "benchmarks.gpu.mix", "minilm:20", "llama-135m:10"],
}
TEXT_PARTS = ("tests",)
"""Their output is no JSON: its last lines are kept."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="the parts to run")
    parser.add_argument("--again", action="store_true", help="run parts again that have a result")
    asked = parser.parse_args()
    card = card_name()
    if card is None:
        print("nvidia-smi shows no GPU here; run this on a machine that has one.", file=sys.stderr)
        return 4
    file = ROOT / "benchmarks" / "results" / "gpu" / f"{card.replace(' ', '-')}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"card": card, "parts": {}}
    for part in asked.only:
        if asked.again or not found["parts"].get(part, {}).get("ok"):
            found["parts"][part] = run(part)
            found |= {"versions": versions(), "system": platform.platform()}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        outcome = found["parts"][part]
        print(f"{part}: {'ok' if outcome['ok'] else 'FAILED'} in {outcome['seconds']:.0f} s", flush=True)
    print(f"Wrote {file}")
    return 0 if all(found["parts"][part]["ok"] for part in asked.only) else 1


def run(part: str) -> dict[str, Any]:
    """One part in a process of its own; what it printed last, or the end of its errors."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    began = time.monotonic()
    done = subprocess.run([sys.executable, *PARTS[part]], cwd=ROOT, env=environment, capture_output=True, text=True)
    outcome: dict[str, Any] = {
        "ok": done.returncode == 0,
        "seconds": round(time.monotonic() - began, 1),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if done.returncode:
        return {**outcome, "error": (done.stdout + done.stderr)[-3000:]}
    return {**outcome, "result": done.stdout[-2000:] if part in TEXT_PARTS else json_of(done.stdout)}


def json_of(text: str) -> Any:
    """The JSON that a part printed, or the last line of it (Trainer prints beside it)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(text.strip().splitlines()[-1])


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
