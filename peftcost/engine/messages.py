"""What a worker is given and what it says, as typed values that travel through a pipe as JSON. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Fault = Literal["memory", "setup", "user", "ours"]
"""What a job failed at: the device's memory, its setup, what the user gave, or peftcost itself."""


@dataclass(frozen=True)
class Job:
    """What to run (`worker.job_kinds`), on what, and the file that its prints go to."""

    kind: str
    payload: dict[str, Any]
    log: str

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Job:
        return cls(**raw)


@dataclass(frozen=True)
class Ready:
    """A spawned worker has imported."""


@dataclass(frozen=True)
class Phase:
    """From t on the time of the job's devices belongs to this category of the ledger. t: seconds of CLOCK_MONOTONIC, which
    all processes of a machine share; who carries it from another machine sets it to the controller's (`Executor.poll`)."""

    category: str
    t: float


@dataclass(frozen=True)
class Progress:
    """How far a training is. train_loss: its running mean. first_step: what it went on from. member: of a pack, which one.

    losses: [step, mean training loss] of each stretch that has ended since the last message, step being its last.
    evaluations: [step, dev loss, dev quality] of each that was made since then.
    """

    step: int
    total_steps: int
    train_loss: float
    losses: list[list[float]] = field(default_factory=list)
    evaluations: list[list[float]] = field(default_factory=list)
    first_step: int = 0
    member: int = 0

    def after(self, earlier: Progress) -> Progress:
        """This, with what an earlier message that nobody was told had to say."""
        losses, evaluations = earlier.losses + self.losses, earlier.evaluations + self.evaluations
        return replace(self, losses=losses, evaluations=evaluations)


@dataclass(frozen=True)
class Predicted:
    """What an estimate says of the memory, before the training starts."""

    peak_bytes: int


@dataclass(frozen=True)
class Measured:
    """A member of a pack is done; the pack goes on. result: the fields of a `Measurement` (less role)."""

    member: int
    result: dict[str, Any]


@dataclass(frozen=True)
class Unmeasured:
    """A member of a pack has failed; the pack goes on."""

    member: int
    reason: str
    fault: Fault


@dataclass(frozen=True)
class Done:
    """The job's result. stays: the worker takes the next job."""

    result: dict[str, Any]
    stays: bool = False


@dataclass(frozen=True)
class Failed:
    """The job gave no result."""

    reason: str
    fault: Fault


@dataclass(frozen=True)
class Died:
    """The worker ended without a last word. No worker sends this: who listens to it says so. exitcode: None if nobody knows.
    rank: of a group of processes, the one that ended and so ended the others."""

    exitcode: int | None
    rank: int | None = None


LastWord = Done | Failed | Died
"""Messages that end a job."""
Message = Ready | Phase | Progress | Predicted | Measured | Unmeasured | LastWord

TYPES: dict[str, type[Message]] = {
    kind.__name__.lower(): kind for kind in (Ready, Phase, Progress, Predicted, Measured, Unmeasured, Done, Failed, Died)
}


def dict_of(message: Message) -> dict[str, Any]:
    """The message for JSON, with its type."""
    return {"type": type(message).__name__.lower(), **vars(message)}


def message_of(raw: Mapping[str, Any]) -> Message:
    """The message that `dict_of` made this of."""
    return TYPES[raw["type"]](**{name: value for name, value in raw.items() if name != "type"})


def failure_of(message: Failed | Unmeasured | Died) -> str:
    """Why a worker gave no result."""
    return f"its worker {died(message)}" if isinstance(message, Died) else message.reason


def died(message: Died) -> str:
    """How a worker ended that said nothing any more."""
    code = message.exitcode
    which = "" if message.rank is None else f" in rank {message.rank}"
    if code is None:
        return f"ended{which} without a word"
    if code < 0:
        hint = " (perhaps out of memory)" if code == -9 else ""
        return f"was killed{which} by signal {-code}{hint}"
    return f"ended{which} with exit code {code}"
