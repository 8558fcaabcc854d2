"""What was spent on the devices and what may still be: a fold over the journal's events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from peftcost.core.ledger import Ledger


@dataclass
class Books:
    """limit_gpu_seconds: the budget. limit_wall_seconds: on the clock, while devices are held. held: the devices that are on
    the bill now. last_t: of the last event, on the run's clock."""

    limit_gpu_seconds: float = float("inf")
    limit_wall_seconds: float = float("inf")
    ledger: Ledger = field(default_factory=Ledger)
    held: set[int] = field(default_factory=set)
    last_t: float = 0.0

    def left_after(self, closing_seconds: float, now: float | None = None) -> float:
        """gpu_seconds that may still be spent before what closes the run, on one device."""
        left = self.limit_gpu_seconds - self.ledger.spent(now) - closing_seconds
        on_the_clock = self.limit_wall_seconds - self.ledger.wall_seconds(now) - closing_seconds
        return min(left, max(1, len(self.held)) * on_the_clock)

    def closing_seconds(self) -> float:
        """gpu_seconds that closing the run takes."""
        return 0.0

    def apply(self, event: dict[str, Any]) -> None:
        """Take in one event of the journal. Unknown events are for other readers."""
        self.last_t = max(self.last_t, event["t"])
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            handler(event)

    def apply_all(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            self.apply(event)

    def _on_budget(self, event: dict[str, Any]) -> None:
        self.limit_gpu_seconds = event["limit_gpu_seconds"]
        more = event.get("wall_seconds")
        self.limit_wall_seconds = float("inf") if more is None else self.ledger.wall_seconds() + more

    def _on_acquired(self, event: dict[str, Any]) -> None:
        self.ledger.acquire(event["device"], event["t"], event["category"])
        self.held.add(event["device"])

    def _on_phase(self, event: dict[str, Any]) -> None:
        self.ledger.switch(event["device"], event["t"], event["category"])

    def _on_released(self, event: dict[str, Any]) -> None:
        self.ledger.release(event["device"], event["t"])
        self.held.discard(event["device"])
