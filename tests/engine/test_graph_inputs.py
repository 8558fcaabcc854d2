"""A graph reads the batch of its own step, in whatever order a device's streams get on."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import torch

from peftcost.engine import graph_inputs
from peftcost.engine.graph_inputs import COPIED_AHEAD_BYTES, GraphInputs, tensors_of
from peftcost.tasks.batch import Batch

STEPS = 12
LARGE = COPIED_AHEAD_BYTES // 4  # numbers of 4 bytes


class Stream:
    """Does what it is given in order, but not before what it waits for."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.given = self.ended = 0
        self.queue: list[tuple[Callable[[], bool], Callable[[], object]]] = []

    def give(self, work: Callable[[], object], ready: Callable[[], bool] = lambda: True) -> None:
        self.queue.append((ready, work))
        self.given += 1

    def wait_stream(self, other: Stream) -> None:
        number = other.given
        self.give(lambda: None, lambda: other.ended >= number)

    @property
    def can_go_on(self) -> bool:
        return bool(self.queue) and self.queue[0][0]()

    def go_on(self) -> None:
        self.queue.pop(0)[1]()
        self.ended += 1


class Device:
    """Two streams; a random one goes on."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.training, self.copying = Stream(), Stream()
        self.current, self.copied = self.training, 0

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def copy(self, source: Sequence[torch.Tensor], to: Sequence[torch.Tensor]) -> None:
        for new, there in zip(source, to, strict=True):
            self.current.give(partial(self.copy_now, new, there))

    def copy_now(self, new: torch.Tensor, there: torch.Tensor) -> None:
        there.copy_(new)
        self.copied += 1

    def run(self, most: float) -> None:
        """So much of what is to be done."""
        while most > 0 and (able := [stream for stream in (self.training, self.copying) if stream.can_go_on]):
            self.random.choice(able).go_on()
            most -= 1


@pytest.fixture
def device_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Device]:
    def made(seed: int) -> Device:
        device = Device(seed)
        monkeypatch.setattr(torch.cuda, "stream", device.stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda of: device.current)
        monkeypatch.setattr(graph_inputs, "_copy", device.copy)
        monkeypatch.setattr(graph_inputs, "pinned", lambda tensor: tensor)
        return device

    return made


def batch(number: int, numbers: int) -> Batch:
    return Batch(
        {"x": torch.full((2, numbers // 2), float(number))}, torch.full((2,), number), 1, kept=torch.tensor([number])
    )


def read_now(inputs: GraphInputs) -> set[float]:
    """The numbers of the batch that a step would read."""
    tensors = [*tensors_of(inputs.parts), inputs.n_targets]
    return {float(end) for tensor in tensors for end in (tensor.min(), tensor.max())}


@pytest.mark.parametrize("shapes", [(8,), (LARGE,), (LARGE, 2 * LARGE, 8)], ids=str)
def test_each_step_reads_its_own_batch(shapes: tuple[int, ...], device_of: Callable[[int], Device]) -> None:
    for seed in range(10):
        device = device_of(seed)
        captured = [GraphInputs([batch(0, n)], torch.tensor(0.0), device.copying) for n in shapes]  # type: ignore[arg-type]
        read: list[set[float]] = []
        for number in range(STEPS):
            inputs = captured[number % len(shapes)]
            inputs.fill([batch(number, shapes[number % len(shapes)])], torch.tensor(float(number)))
            device.training.give(lambda inputs=inputs, read=read: read.append(read_now(inputs)))
            device.run(device.random.choice([0, 2, 8, 30]))
        device.run(float("inf"))
        assert read == [{float(number)} for number in range(STEPS)]


def test_what_lay_in_a_new_tensors_memory_is_read_before(device_of: Callable[[int], Device]) -> None:
    device = device_of(0)
    device.training.give(lambda: None, ready=lambda: False)
    GraphInputs([batch(0, LARGE)], torch.tensor(0.0), device.copying).fill(  # type: ignore[arg-type]
        [batch(1, LARGE)], torch.tensor(1.0)
    )
    device.run(float("inf"))
    assert device.copied == 0


def test_only_a_large_batch_is_copied_while_the_step_before_runs(device_of: Callable[[int], Device]) -> None:
    for numbers, early in ((8, 0), (LARGE, 4)):
        device = device_of(0)
        inputs = GraphInputs([batch(0, numbers)], torch.tensor(0.0), device.copying)  # type: ignore[arg-type]
        device.training.give(lambda: None, ready=lambda: False)  # a step that takes long
        inputs.fill([batch(1, numbers)], torch.tensor(1.0))
        device.run(float("inf"))
        assert device.copied == early
