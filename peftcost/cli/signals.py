"""Ctrl-C, SIGTERM and SIGHUP end the command line with one line, which says how to go on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from peftcost.core.terminal import SENT

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
ENDING = [*SENT, signal.SIGTERM]
SOON_SECONDS = 0.02
"""After which a signal that could not be raised comes again."""
IMPORTER = "<frozen importlib._bootstrap>"
"""The file of the frames that import a module."""
WORDS = {INTERRUPTED: "Interrupted", TERMINATED: "Terminated"}


class Terminated(BaseException):
    """SIGTERM arrived: a pre-emption, or the end of an allocation. Or SIGHUP: the terminal was closed."""


class Signals:
    """The signal that has arrived, and the run that it ends. There is one of it, as signals are the process's own.

    exit_code: 130 or 143 once one has arrived, 143 of SIGHUP, too. run: the folder of the run that the command works on; it
    may not be there yet. go_on: of a command that works on no run, how one goes on with it.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.run: Path | None = None
        self.go_on = ""

    def listen(self) -> None:
        """From now on SIGINT, SIGTERM and SIGHUP raise. What nohup ignores stays ignored."""
        for number in ENDING:
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        sys.unraisablehook = self._on_unraisable

    def ignore(self) -> None:
        """What arrives while the process ends is too late to matter."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        exec("")  # one that has arrived within an exec, as of a dataclass, would else be CPython's exit status, not ours

    def sentence(self, exit_code: int) -> str:
        """What happened, and how to go on."""
        word = WORDS[exit_code]
        if self.run is None:
            return f"{word}. Nothing that was finished is lost: {self.go_on}." if self.go_on else f"{word}."
        if not (self.run / "events.jsonl").exists():
            return f"{word} before anything was trained; the same command begins again."
        return f"{word}. Nothing that was finished is lost: `peftcost resume {self.run}` goes on."

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = INTERRUPTED if number == signal.SIGINT else TERMINATED
        if is_importing(frame):
            send_again(number)
        else:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    def _on_unraisable(self, unraisable: Any) -> None:
        """A signal that arrives in a destructor cannot be raised there, so it comes again when that is over."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt | Terminated):
            send_again(signal.SIGINT if issubclass(unraisable.exc_type, KeyboardInterrupt) else signal.SIGTERM)
        else:
            sys.__unraisablehook__(unraisable)


def is_importing(frame: FrameType | None) -> bool:
    """Whether a module is just being imported. Cython's modules, as numpy's, lose what is raised in them then."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTER:
            return True
        frame = frame.f_back
    return False


def send_again(number: int) -> None:
    threading.Timer(SOON_SECONDS, os.kill, (os.getpid(), number)).start()


signals = Signals()
