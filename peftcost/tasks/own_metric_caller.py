"""Calls a user's metric: `own_metric_caller.py FILE FUNCTION`. Run by `own_metric`, in a process apart.

Each line of standard input names three files: answers, weights, and one for the values or, as a text, what went wrong.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Score = Callable[[list[Any], list[Any]], Any]


def loaded(file: str, function: str) -> Score | str:
    """The function, or what is wrong with its file."""
    sys.path.insert(0, str(Path(file).parent))
    try:
        spec = importlib.util.spec_from_file_location("own_metric_file", file)
        if spec is None or spec.loader is None:
            return "is no Python file; give a .py."
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except BaseException as error:
        return f"cannot be imported ({told(error)}, line {line_in(file, error)}); correct it."
    score: Score | None = getattr(module, function, None)
    return score if callable(score) else f"has no function {function!r}; name it with `function:`."


def values(file: str, score: Score, predicted: list[Any], true: list[Any], weights: np.ndarray) -> list[float] | str:
    """The function's value in each resample, or what went wrong."""
    found = []
    for times in weights:
        chosen = np.repeat(np.arange(len(true)), times).tolist()
        try:
            value = score([predicted[i] for i in chosen], [true[i] for i in chosen])
            number = float(value)
        except BaseException as error:
            return f"the metric raised {told(error)} (line {line_in(file, error)}); correct it."
        if not math.isfinite(number):
            return f"the metric gave {value!r} for {len(chosen)} rows; give a finite number for any rows."
        found.append(number)
    return found


def told(error: BaseException) -> str:
    """Its kind and its message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def line_in(file: str, error: BaseException) -> int | str:
    """The last line of the user's file that the error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return next((line for line in reversed(lines) if line is not None), "unknown")


def main(file: str, function: str) -> None:
    """Answer each line of standard input."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints goes where errors go
    score = loaded(file, function)
    for line in sys.stdin:
        answers, weights, out = line.rstrip("\n").split("\t")
        predicted, true = json.loads(Path(answers).read_text(encoding="utf-8"))
        said = score if isinstance(score, str) else values(file, score, predicted, true, np.load(weights))
        Path(out).write_text(json.dumps(said), encoding="utf-8")
        print("done", file=answer, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
