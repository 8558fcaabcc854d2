"""The device to plan for: this machine's, measured, or a published one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peftcost.cost.device import Device, choose_devices
from peftcost.cost.machines import Machine
from peftcost.cost.rates import Rates


@dataclass(frozen=True)
class Target:
    """What it is to be trained on."""

    name: str
    kind: str
    memory_bytes: int
    rates: Callable[[str], Rates]
    computes_in_bf16: bool


def machine_target(machine: Machine) -> Target:
    return Target(machine.name, machine.kind, machine.memory_bytes, machine.rates, "bf16" in machine.flops_per_second)


def target_here(wanted: str, on_progress: Callable[[str], None]) -> Target:
    """This machine's device, measured if it was not yet."""
    from peftcost.engine.calibrate import rates_here
    from peftcost.engine.worker import configure_process

    device: Device = choose_devices("cpu" if wanted == "cpu" else None)[0]
    configure_process(device)
    rates = rates_here(device, lambda: on_progress("measuring how fast this machine is (less than a minute, once)"))
    return Target(device.name, device.kind, device.memory_bytes, lambda precision: rates, device.computes_in_bf16)
