"""The tracker of docs/extending/tracker.md holds to the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from peftcost.testing.trackers import Delivered, TrackerContract
from peftcost.trackers import TrackedSearch, Tracker

PAGE = Path(__file__).parent.parent.parent / "docs" / "extending" / "tracker.md"


class TestLines(TrackerContract):
    keeps_files = False

    def tracker(self) -> Tracker:
        code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert code is not None
        found: dict[str, Any] = {"__name__": "own"}
        exec(code[1], found)
        return found["Lines"]()

    def delivered(self, search: TrackedSearch) -> Delivered:
        titles: dict[int, str] = {}
        told = Delivered({}, {}, {}, {})
        into: Any = told
        for line in map(json.loads, (search.folder / "lines.jsonl").read_text().splitlines()):
            if "title" in line:
                titles[line["trial"]] = line["title"]
                into.facts[line["title"]] = {name: str(value) for name, value in line["facts"].items()}
                into.curves[line["title"]] = {}
            elif "step" in line:
                for name, value in line["values"].items():
                    into.curves[titles[line["trial"]]].setdefault(name, []).append((line["step"], value))
            elif "figures" in line:
                into.figures[titles[line["trial"]]] = line["figures"]
        return told
