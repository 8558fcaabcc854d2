"""Which measurements' times are relied on."""

from __future__ import annotations

from peftcost.core.measurement import Measurement, timed_undisturbed


def measurement(gpu_seconds: float, contended: bool) -> Measurement:
    return Measurement(0, "explore", 0.7, 0.5, 0.6, gpu_seconds, 1.0, 10, 20, 0.01, 5, 6, 7, contended)


def test_times_beside_foreign_load_do_not_count_when_there_are_others() -> None:
    quiet, busy = measurement(10.0, False), measurement(30.0, True)
    assert timed_undisturbed([busy, quiet]) == [quiet]
    assert timed_undisturbed([busy]) == [busy]
