"""What every benchmark's JSON says beside its figures."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peftcost.core.versions import versions
from peftcost.cost.device import cpu_cores, cpu_name

RESULTS = Path(os.environ.get("PEFTCOST_RESULTS", Path(__file__).parent / "results"))


def recorded(name: str, part: str) -> dict[str, Any]:
    """What results/NAME.json has of a part already, so that a recording goes on where it was stopped."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))[part]) if path.exists() else {}


def write_result(name: str, facts: dict[str, Any]) -> Path:
    """Write results/NAME.json: command, date, machine and versions, then the facts."""
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    result = {
        "command": shlex.join(["python", script, *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": cpu_name(), "cores": cpu_cores(), "system": platform.platform()},
        "versions": versions(),
        **facts,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {path}")
    return path
