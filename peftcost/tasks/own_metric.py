"""A metric of the user's own: a function in a file of theirs, called in a process apart."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.errors import UserError
from peftcost.tasks.base import Metric, TaskType
from peftcost.tasks.targets import Targets

FIELDS = ("file", "function", "direction", "limits", "sha256")
DIRECTIONS = ("max", "min")
RESAMPLES = 200
"""For which the function is called; more resamples repeat their values, since a call may take milliseconds."""
SECONDS = 300.0
CALLER = Path(__file__).with_name("own_metric_caller.py")


def own_metric(options: Mapping[str, Any], kind: TaskType, targets: Targets) -> Metric:
    """The metric that these options name. A function whose lower values are better (direction: min) counts as its negative.
    UserError for options that are wrong."""
    unknown = [name for name in options if name not in FIELDS]
    if unknown:
        raise UserError(f"a metric of your own takes {', '.join(FIELDS[:-1])}, but got {unknown[0]!r}.")
    direction = options.get("direction", "max")
    if direction not in DIRECTIONS:
        raise UserError(f"the metric's direction is {direction!r}; give max if higher is better, else min.")
    file, function = Path(str(options["file"])), str(options.get("function", "score"))
    low, high = limits_of(options.get("limits"))
    sign = 1.0 if direction == "max" else -1.0
    return Metric(
        name=function if sign > 0 else f"negative_{function}",
        default_margin=0.01 * (high - low if math.isfinite(high - low) else 1.0),
        compute=partial(
            _compute,
            file=file,
            function=function,
            sign=sign,
            limits=(low, high),
            answers=partial(kind.answers, targets=targets),
        ),
        limits=(low, high) if sign > 0 else (-high, -low),
    )


def checked_options(options: Mapping[str, Any], kind: TaskType) -> dict[str, Any]:
    """The options with the file's absolute path and its sha256. UserError if it cannot be read, or has no such function."""
    if type(kind).answers is TaskType.answers:
        raise UserError(
            f"{kind.name} keeps no single answers, so a metric of your own cannot be computed; choose one of its own."
        )
    file, function = Path(str(options["file"])).expanduser().absolute(), str(options.get("function", "score"))
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UserError(f"the metric's file {file} cannot be read ({error.strerror}); check the path.") from error
    _call(file, function, [], [], np.ones((0, 0)))
    return {**options, "file": str(file), "function": function, "sha256": hashlib.sha256(raw).hexdigest()}


def limits_of(limits: Any) -> tuple[float, float]:
    """The lowest and the highest value that the function can give."""
    if limits is None:
        return -math.inf, math.inf
    numbers = isinstance(limits, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in limits)
    if not numbers or len(limits) != 2 or not limits[0] < limits[1]:
        raise UserError(f"the metric's limits are {limits!r}; give the lowest and the highest value, as in [0, 1].")
    return float(limits[0]), float(limits[1])


def _compute(
    rows: np.ndarray,
    weights: np.ndarray,
    file: Path,
    function: str,
    sign: float,
    limits: tuple[float, float],
    answers: Callable[[np.ndarray], Any],
) -> np.ndarray:
    predicted, true = answers(rows)
    values = _call(file, function, predicted, true, weights[:RESAMPLES])
    beyond = values[(values < limits[0]) | (values > limits[1])]
    if beyond.size:
        low, high = (f"{limit:g}" for limit in limits)
        raise UserError(f"{file}: {function} gave {beyond[0]:g}, outside of its limits [{low}, {high}]; correct one of them.")
    return np.resize(sign * values, len(weights))


def _call(file: Path, function: str, predicted: Sequence[Any], true: Sequence[Any], weights: np.ndarray) -> np.ndarray:
    """The function's value in each resample, in a process of its own. UserError with what it raised, or gave but a number."""
    with tempfile.TemporaryDirectory(prefix="peftcost-metric-") as scratch:
        answers, times, out = (Path(scratch) / name for name in ("answers.json", "weights.npy", "values.json"))
        answers.write_text(json.dumps([predicted, true]), encoding="utf-8")
        np.save(times, weights.astype(np.int64))
        caller = _caller(file, function, _changed(file))
        alarm = threading.Timer(SECONDS, caller.kill)
        alarm.start()
        try:
            done = _asked(caller, f"{answers}\t{times}\t{out}")
        finally:
            alarm.cancel()
        if not done or not out.exists():
            _caller.cache_clear()
            how = (
                f"took more than {SECONDS:.0f} s" if alarm.finished.is_set() and caller.wait() == -9 else "ended its process"
            )
            raise UserError(f"{file}: {function} {how} in {len(weights)} calls for {len(true)} rows; run it by itself.")
        said = json.loads(out.read_text(encoding="utf-8"))
    if isinstance(said, str):
        raise UserError(f"{file}: {said}")
    return np.array(said, dtype=np.float64)


def _changed(file: Path) -> int:
    """When it was. UserError where it is gone, as of a model that was trained elsewhere."""
    try:
        return file.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"The metric's file {file} cannot be read ({error.strerror}); put it back there.") from error


@lru_cache(maxsize=1)
def _caller(file: Path, function: str, changed: int) -> subprocess.Popen[str]:
    """The process that calls it; it ends with this one, whose end of the pipe it reads. changed: when the file was."""
    command = [sys.executable, str(CALLER), str(file), function]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _asked(caller: subprocess.Popen[str], line: str) -> bool:
    """Whether the process has answered."""
    assert caller.stdin is not None and caller.stdout is not None
    try:
        caller.stdin.write(line + "\n")
        caller.stdin.flush()
    except OSError:
        return False
    return caller.stdout.readline() == "done\n"
