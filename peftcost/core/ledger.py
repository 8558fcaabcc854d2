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
    "baselines": "predicting the test split with the untuned model",
    "test": "predicting the test split, once",
    "generate": "writing answers to prompts of the test split",
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
    _closed: dict[int, float] = field(default_factory=dict)
    """Per device the seconds of all spans but the open one."""
    _on_the_clock: float = 0.0
    _anything_since: float | None = None
    """Seconds that any device was held, up to when the last was released; and since when one is."""

    def acquire(self, device: int, t: float, category: str = "idle") -> None:
        """The device is on the bill from t on. ValueError if it is already."""
        if self._open(device) is not None:
            raise ValueError(f"device {device} is held already")
        span = Span(category, self._not_before(device, t))
        self.spans.setdefault(device, []).append(span)
        if self._anything_since is None:
            self._anything_since = span.since

    def switch(self, device: int, t: float, category: str) -> None:
        """From t on the device is in this category. ValueError if it is not held."""
        span = self._held(device)
        self._close(device, span, t)
        self.spans[device].append(Span(category, self._not_before(device, t)))

    def release(self, device: int, t: float) -> None:
        """The device is off the bill from t on. ValueError if it is not held."""
        span = self._held(device)
        self._close(device, span, t)
        if self._anything_since is not None and not any(self._open(other) for other in self.spans):
            self._on_the_clock += max(0.0, self._not_before(device, t) - self._anything_since)
            self._anything_since = None

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
        self._closed[device] = sum(span.until - span.since for span in rebooked if span.until is not None)

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
        closed = sum(self._closed.values())
        if now is None:
            return closed
        return closed + sum(max(0.0, now - span.since) for device in self.spans if (span := self._open(device)) is not None)

    def wall_seconds(self, now: float | None = None) -> float:
        """How long any device was held, until `now` if one still is."""
        since = self._anything_since
        return self._on_the_clock + (0.0 if since is None or now is None else max(0.0, now - since))

    def _close(self, device: int, span: Span, t: float) -> None:
        span.until = self._not_before(device, t)
        self._closed[device] = self._closed.get(device, 0.0) + span.until - span.since

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
