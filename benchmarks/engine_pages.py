"""Section `pages` of benchmarks/engine.py: the same steps with and without huge pages, in two processes that take turns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine import spread

METHODS = ("full", "lora", "adalora", "houlsby")
STEPS, ROUNDS = 6, 12
READY = "ready"


def pages() -> dict[str, Any]:
    """Seconds with huge pages over seconds without, by method."""
    with_pages, without = (Child({"THP_MEM_ALLOC_ENABLE": value}) for value in ("1", "0"))
    ratios: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for method in METHODS:
            order = (with_pages, without) if number % 2 else (without, with_pages)
            seconds = {child: child.seconds(method) for child in order}
            ratios.setdefault(method, []).append(seconds[with_pages] / seconds[without])
    for child in (with_pages, without):
        child.process.kill()
    return {"with_over_without": {method: spread(found) for method, found in ratios.items()}}


class Child:
    """A process that trains a few steps when it is told a method."""

    def __init__(self, environment: dict[str, str]) -> None:
        command = [sys.executable, str(Path(__file__))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env={**os.environ, **environment}, text=True, **pipes)
        while READY not in self._line():
            pass

    def seconds(self, method: str) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{method}\n")
        self.process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the child ended")
        return line


def obey() -> None:
    """The child's side."""
    from engine_steps import engine_seconds, new_loop

    from peftcost.cost.device import choose_devices
    from peftcost.engine.worker import configure_process

    configure_process(choose_devices()[0])
    loops = {method: new_loop(method) for method in METHODS}
    for loop in loops.values():
        engine_seconds(loop, STEPS)
    print(READY, flush=True)
    for line in sys.stdin:
        print(engine_seconds(loops[line.strip()], STEPS), flush=True)


if __name__ == "__main__":
    obey()
