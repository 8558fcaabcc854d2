"""The ledger: where every device-second went.

Each device, from acquiring to releasing, is in exactly one category at a time; so the categories sum to what was spent,
by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CATEGORIES = {
    "startup": "starting workers, loading model and data",
    "plan": "trying a few steps of each method",
    "train": "training steps",
    "evaluate": "predicting the dev split",
    "checkpoint": "saving checkpoints and artifacts",
    "measure": "reading memory and latency, untimed",
    "baselines": "majority, TF-IDF and the untuned model",
    "test": "predicting the test split, once",
    "idle": "held and not used",
    "lost": "work whose result was lost or of no use (crashes, failures)",
}


@dataclass
class Span:
    """One device was in one category from `since` to `until` (None: still is)."""

    category: str
    since: float
    until: float | None = None


@dataclass
class Ledger:
    """Spans per device, in order. Times are seconds of one clock; one that goes back is held at the last."""

    spans: dict[int, list[Span]] = field(default_factory=dict)

    def acquire(self, device: int, t: float, category: str = "idle") -> None:
        """The device is on the bill from t on. ValueError if it is already."""
        if self._open(device) is not None:
            raise ValueError(f"device {device} is held already")
        self.spans.setdefault(device, []).append(Span(category, self._not_before(device, t)))

    def switch(self, device: int, t: float, category: str) -> None:
        """From t on the device is in this category. ValueError if it is not held."""
        span = self._held(device)
        span.until = self._not_before(device, t)
        self.spans[device].append(Span(category, span.until))

    def release(self, device: int, t: float) -> None:
        """The device is off the bill from t on. ValueError if it is not held."""
        self._held(device).until = self._not_before(device, t)

    def rebook(self, device: int, since: float, until: float, category: str) -> None:
        """Move what was booked between two times to another category: work that turned out to be lost."""
        rebooked: list[Span] = []
        for span in self.spans.get(device, []):
            end = span.until if span.until is not None else max(until, span.since)
            start, stop = max(since, span.since), min(until, end)
            if start >= stop:
                rebooked.append(span)
                continue
            pieces = [Span(span.category, span.since, start), Span(category, start, stop)]
            pieces.append(Span(span.category, stop, span.until))
            rebooked += [p for p in pieces if p.until is None or p.until > p.since]
        self.spans[device] = rebooked

    def totals(self, now: float | None = None) -> dict[str, float]:
        """gpu_seconds by category, all categories present; held devices count up to `now`."""
        found = dict.fromkeys(CATEGORIES, 0.0)
        for spans in self.spans.values():
            for span in spans:
                until = span.until if span.until is not None else max(span.since, now if now is not None else span.since)
                found[span.category] = found.get(span.category, 0.0) + until - span.since
        return found

    def spent(self, now: float | None = None) -> float:
        """All gpu_seconds, held devices up to `now`."""
        return sum(self.totals(now).values())

    def held_seconds(self, device: int, now: float | None = None) -> float:
        """How long one device was held, until `now` if it still is."""
        alone = Ledger({device: self.spans.get(device, [])})
        return alone.spent(now)

    def _open(self, device: int) -> Span | None:
        spans = self.spans.get(device)
        return spans[-1] if spans and spans[-1].until is None else None

    def _held(self, device: int) -> Span:
        span = self._open(device)
        if span is None:
            raise ValueError(f"device {device} is not held")
        return span

    def _not_before(self, device: int, t: float) -> float:
        spans = self.spans.get(device)
        if not spans:
            return t
        last = spans[-1]
        return max(t, last.since if last.until is None else last.until)
