"""What an examination of the machine finds, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class DeviceFacts:
    """A device; default: the one that is used when --devices is not given. why_not: why it cannot be used, or None."""

    kind: str
    name: str
    index: int
    threads: int
    total_bytes: int
    free_bytes: int
    default: bool
    why_not: str | None = None


@dataclass(frozen=True)
class Memory:
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Storage:
    """Where runs lie. why_not: why no SQLite file can be made and locked there, or None."""

    folder: str
    free_bytes: int
    why_not: str | None = None


@dataclass(frozen=True)
class Hub:
    """The model hub, and how many models its local cache holds. why: what an unreachable hub's client said."""

    state: Literal["reachable", "unreachable", "offline"]
    why: str | None
    cache: str
    cached_models: int


@dataclass(frozen=True)
class Process:
    pid: int
    name: str
    cores: float


@dataclass(frozen=True)
class Load:
    """What others take of the CPU: cores in use on the whole machine, and the busiest processes among them."""

    busy_cores: float
    processes: list[Process] = field(default_factory=list)


@dataclass(frozen=True)
class SelfTest:
    """A short training in one precision. why_not: why it did not work, or None. device: the kind really used."""

    precision: str
    why_not: str | None = None
    device: str | None = None
    threads: int | None = None
    steps: int = 0
    steps_per_second: float | None = None
    first_loss: float | None = None
    last_loss: float | None = None


@dataclass(frozen=True)
class MethodCheck:
    """Whether a few steps of this method run here; runs is None when it was not tried."""

    name: str
    runs: bool | None
    why_not: str | None = None


@dataclass(frozen=True)
class Findings:
    """gpus_in_machine: before CUDA_VISIBLE_DEVICES. cpu_quota: cores that the container may use, None: no limit."""

    devices: list[DeviceFacts]
    gpus_in_machine: int
    cores: int
    cpu_quota: float | None
    memory: Memory
    storage: Storage
    hub: Hub
    load: Load
    environment: dict[str, str]
    libraries: dict[str, str]
    missing_libraries: list[str]
    precisions: list[SelfTest]
    methods: list[MethodCheck]

    @property
    def obstacle(self) -> str | None:
        """Why nothing can be trained here, or None. fp32 decides: it is what is trained in by default."""
        if self.missing_libraries and "torch" in self.missing_libraries:
            return "torch is not installed"
        for test in self.precisions:
            if test.precision == "fp32" and test.why_not is not None:
                return f"a short training failed: {test.why_not}"
        if self.storage.why_not is not None:
            return f"no run can be stored in {self.storage.folder}: {self.storage.why_not}"
        return None
