"""Energy is read where the system counts it."""

from __future__ import annotations

from pathlib import Path

import torch

from peftcost.cost.energy import EnergyMeter


def write(powercap: Path, joules: float) -> None:
    package = powercap / "intel-rapl:0"
    package.mkdir(parents=True, exist_ok=True)
    (package / "energy_uj").write_text(str(round(joules * 1e6)))
    (package / "max_energy_range_uj").write_text(str(1000 * 10**6))


def test_joules_are_counted_over_the_end_of_the_range(tmp_path: Path) -> None:
    write(tmp_path, 990.0)
    meter = EnergyMeter(torch.device("cpu"), tmp_path)
    write(tmp_path, 995.0)
    assert meter.joules() == 5.0
    write(tmp_path, 20.0)
    assert meter.joules() == 30.0


def test_without_counters_there_is_no_figure(tmp_path: Path) -> None:
    assert EnergyMeter(torch.device("cpu"), tmp_path).joules() is None
