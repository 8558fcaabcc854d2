"""Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def progress_printer(quiet: bool) -> Callable[[str], None]:
    """A function that prints progress on stderr, or nothing."""
    return (lambda text: None) if quiet else (lambda text: print(text, file=sys.stderr))
