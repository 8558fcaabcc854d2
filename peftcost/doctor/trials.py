"""Short trainings, each in a worker process as in a search, so that a crash is told and not suffered. Free of torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from peftcost.cost.device import Device
from peftcost.doctor.findings import MethodCheck, SelfTest
from peftcost.engine.messages import Done, Failed, LastWord, Message, failure_of
from peftcost.errors import EnvironmentFailure
from peftcost.methods import Method, methods
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.worker_log import worker_log

TEST_SECONDS = {"cpu": 5.0, "cuda": 3.3, "mps": 5.0}
"""Per precision: about ten seconds in all."""
WAIT_SECONDS = 120.0
"""After this long a worker hangs, or its imports do: the slowest import of torch that we have seen took a minute (network
disks)."""

Say = Callable[[str], None]


def try_training(device: Device, missing: Sequence[str], say: Say) -> tuple[list[SelfTest], list[MethodCheck]]:
    """A short training in each precision; if fp32 works, a few steps of each method."""
    seconds = TEST_SECONDS[device.kind]
    with worker_log() as log, LocalExecutor([device], log) as executor:
        tests = []
        for precision in precisions_of(device.kind):
            say(f"training a small model in {precision}")
            tests.append(test_of(precision, run_alone(executor, "full", precision, seconds)))
        checks = []
        for method in methods().values():
            say(f"trying {method.name}")
            checks.append(check_method(executor, method, missing, tests[0].why_not is None))
    return tests, checks


def precisions_of(kind: str) -> tuple[str, ...]:
    """fp16 needs a GPU: on CPUs it has no fast kernels."""
    return ("fp32", "bf16", "fp16") if kind == "cuda" else ("fp32", "bf16")


def check_method(executor: LocalExecutor, method: Method, missing: Sequence[str], training_works: bool) -> MethodCheck:
    if method.quantization is not None and "bitsandbytes" in missing:
        return MethodCheck(method.name, False, "bitsandbytes is not installed")
    if not training_works:
        return MethodCheck(method.name, None)
    message = run_alone(executor, method.name, "fp32", 0.0)
    if isinstance(message, Done):
        return MethodCheck(method.name, True)
    return MethodCheck(method.name, False, failure_of(message))


def run_alone(executor: LocalExecutor, method: str, precision: str, seconds: float) -> LastWord:
    """The last message of a worker that trains the small model; a worker that hangs is ended."""
    try:
        if not has_imported(executor):
            return failed(f"importing torch, transformers, peft or bitsandbytes takes longer than {WAIT_SECONDS:.0f} s")
        executor.start(executor.slots[0], "selftest", {"method": method, "precision": precision, "seconds": seconds})
    except (OSError, EOFError, EnvironmentFailure):  # what workers come from has died while importing
        return failed("importing torch, transformers, peft or bitsandbytes crashes Python")
    for message in heard(executor, WAIT_SECONDS + seconds):
        if isinstance(message, LastWord):
            return message
    executor.kill(executor.slots[0])
    return failed(f"it hung, and was ended after {WAIT_SECONDS + seconds:.0f} s")


def has_imported(executor: LocalExecutor) -> bool:
    """Wait until a worker could begin, which is at once where it is forked."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not executor.free() and time.monotonic() < deadline:
        list(executor.poll(executor.patience_seconds))
    return bool(executor.free())


def heard(executor: LocalExecutor, seconds: float) -> Iterator[Message]:
    """What the worker says within so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for _, message in executor.poll(left):
            yield message


def failed(reason: str) -> Failed:
    return Failed(reason, "setup")


def test_of(precision: str, message: LastWord) -> SelfTest:
    """What a worker's last message says of a precision: it works if the loss is finite and falls."""
    if not isinstance(message, Done):
        return SelfTest(precision, failure_of(message))
    result, why_not = message.result, None
    if not result["last_loss"] < result["first_loss"]:
        why_not = f"the loss did not fall ({result['first_loss']:.3f} to {result['last_loss']:.3f})"
    return SelfTest(precision, why_not, **result)
