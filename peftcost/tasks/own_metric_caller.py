"""Calls a user's metric: `own_metric_caller.py FILE FUNCTION ANSWERS WEIGHTS OUT`. Run by `own_metric`, in a process apart.

Writes the list of values, or, as a text, what went wrong.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np


def values(file: str, function: str, predicted: list[Any], true: list[Any], weights: np.ndarray) -> list[float] | str:
    """The function's value in each resample, or what went wrong."""
    sys.path.insert(0, str(Path(file).parent))
    try:
        spec = importlib.util.spec_from_file_location("own_metric_file", file)
        if spec is None or spec.loader is None:
            return "is no Python file; give a .py."
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except BaseException as error:
        return f"cannot be imported ({type(error).__name__}: {error}, line {line_in(file, error)}); correct it."
    score = getattr(module, function, None)
    if not callable(score):
        return f"has no function {function!r}; name it with `function:`."
    found = []
    for times in weights:
        chosen = np.repeat(np.arange(len(true)), times).tolist()
        try:
            value = score([predicted[i] for i in chosen], [true[i] for i in chosen])
            number = float(value)
        except BaseException as error:
            return f"{function} raised {type(error).__name__}: {error} (line {line_in(file, error)}); correct it."
        if not math.isfinite(number):
            return f"{function} gave {value!r} for {len(chosen)} rows; give a finite number for any rows."
        found.append(number)
    return found


def line_in(file: str, error: BaseException) -> int | str:
    """The last line of the user's file that the error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return next((line for line in reversed(lines) if line is not None), "unknown")


def main(file: str, function: str, answers: str, weights: str, out: str) -> None:
    predicted, true = json.loads(Path(answers).read_text(encoding="utf-8"))
    said = values(file, function, predicted, true, np.load(weights))
    Path(out).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
