"""What a terminal sends to all processes of a command at once: Ctrl-C, and that it was closed."""

from __future__ import annotations

import signal

SENT = [signal.Signals[name] for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
"""Windows has no SIGHUP."""


def leave_to_caller() -> None:
    """Ignore it in a process that another has started: that decides what it means, and closes the pipe."""
    for number in SENT:
        signal.signal(number, signal.SIG_IGN)
