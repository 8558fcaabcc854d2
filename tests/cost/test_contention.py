"""Times that were taken beside other programs are marked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from peftcost.cost.contention import ForeignLoad, is_contended
from peftcost.cost.device import cpu_cores


@pytest.mark.parametrize(
    ("busy", "own", "seconds", "n_cores", "expected"),
    [
        (20.0, 20.0, 10.0, 2, False),  # alone, and all cores used
        (20.0, 19.0, 10.0, 2, False),  # a cron job
        (20.0, 10.0, 10.0, 2, True),
        (30.0, 20.0, 10.0, 16, False),  # plenty of room
        (159.0, 79.0, 10.0, 16, True),
        (0.29, 0.21, 0.14, 2, False),  # seen in short trainings
        (0.4, 0.2, 0.2, 2, True),
    ],
)
def test_what_counts_as_contended(busy: float, own: float, seconds: float, n_cores: int, expected: bool) -> None:
    assert is_contended(busy, own, seconds, n_cores) is expected


def test_programs_on_our_cores_are_seen() -> None:
    hog = f"{sys.executable} -c 'while True: pass' >/dev/null 2>&1 & echo $!;"
    # Their parent ends at once, so that they are none of ours.
    started = subprocess.run(["sh", "-c", hog * cpu_cores()], capture_output=True, text=True, check=True)
    try:
        load = ForeignLoad()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            pass
        assert load.contended()
    finally:
        for pid in started.stdout.split():
            os.kill(int(pid), signal.SIGKILL)
