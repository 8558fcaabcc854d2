"""What one job holds while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peftcost.errors import UserError


@dataclass(frozen=True, order=True)
class Slot:
    """One or several devices of one node. A job that holds several is a group of processes, one a device.

    devices: their numbers in the executor's list and in the ledger. node: the machine that they are in, "" for this one.
    """

    devices: tuple[int, ...]
    node: str = ""

    def as_facts(self) -> dict[str, Any]:
        """What the journal keeps of it."""
        return {"devices": list(self.devices), **({"node": self.node} if self.node else {})}

    def __str__(self) -> str:
        return "+".join(str(device) for device in self.devices)


ASIDE = Slot(())
"""No device: a process that uses the CPU beside the devices and is on no bill."""


def slot_of(event: Mapping[str, Any]) -> Slot:
    """The slot that an event of the journal names. Journals of before there were slots name one device."""
    return Slot(tuple(event["devices"] if "devices" in event else [event["device"]]), event.get("node", ""))


def slots_of(n_devices: int, per_setup: int) -> list[Slot]:
    """The devices in slots of so many, in order. UserError when they cannot be shared out so."""
    if per_setup < 1:
        raise UserError(f"--devices-per-setup {per_setup} must be at least 1.")
    if n_devices % per_setup or n_devices == 0:
        raise UserError(
            f"{n_devices} devices cannot be shared out among setups of {per_setup} devices; say for example --devices "
            f"cuda:{per_setup} (or cpu:{per_setup}), or another --devices-per-setup."
        )
    return [Slot(tuple(range(first, first + per_setup))) for first in range(0, n_devices, per_setup)]
