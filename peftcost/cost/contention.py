"""Whether other programs used the processor while something was timed."""

from __future__ import annotations

import multiprocessing
import os
import time

import psutil

from peftcost.cost.device import usable_cores

FAMILY = "PEFTCOST_FAMILY"
"""Environment variable: the process id of the controller, for processes that a launcher has started and not itself."""
FOREIGN_CORES = 0.2
"""Other programs' use of the processor that is too little to matter, in cores."""
BUSY_SHARE = 0.9
"""A processor that is idle for more than the rest had room for everybody."""
UNTOLD_SECONDS = 0.1
"""What the system writes to disk for us, and what its counting in hundredths of a second may be off by."""


class ForeignLoad:
    """Watches the processor from its making on. Of the same run, workers have own devices, and the controller works on the
    core of the device that waits for it: they are no foreigners."""

    def __init__(self) -> None:
        self._before = busy_and_own_seconds()
        self._since = time.monotonic()

    def contended(self) -> bool:
        """Whether other programs have held cores that were wanted here. Other users of a GPU are not seen."""
        seconds = max(time.monotonic() - self._since, 1e-3)
        busy, own = busy_and_own_seconds()
        return is_contended(busy - self._before[0], own - self._before[1], seconds, len(usable_cores()))


def is_contended(busy_core_seconds: float, own_core_seconds: float, seconds: float, n_cores: int) -> bool:
    """Others used more than a little, and hardly a core was left over."""
    foreign = max(0.0, busy_core_seconds) - max(0.0, own_core_seconds) - UNTOLD_SECONDS
    return foreign > FOREIGN_CORES * seconds and busy_core_seconds >= BUSY_SHARE * n_cores * seconds


def busy_and_own_seconds() -> tuple[float, float]:
    """Core-seconds that this process's cores have worked (or were taken by the host), and those of our own processes.

    Our own: this process, who started it (a worker's controller), and all below that, those that have ended included.
    """
    every, mine = psutil.cpu_times(percpu=True), usable_cores()
    busy = sum(sum(every[i]) - every[i].idle - getattr(every[i], "iowait", 0.0) for i in mine if i < len(every))
    busy -= sum(getattr(every[i], "guest", 0.0) for i in mine if i < len(every))  # counted within user, too
    family = head_of_family()
    own = 0.0
    for process in (family, *family.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        own += times.user + times.system
        own += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return busy, own


def head_of_family() -> psutil.Process:
    """Who started this process, directly or through a launcher; itself if nobody is there any more."""
    me, starter = psutil.Process(), multiprocessing.parent_process()
    if FAMILY in os.environ and psutil.pid_exists(int(os.environ[FAMILY])):
        return psutil.Process(int(os.environ[FAMILY]))
    return (psutil.Process(starter.pid) if starter is not None and starter.is_alive() else me.parent()) or me
