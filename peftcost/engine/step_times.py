"""How long a training's steps take, from a few real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peftcost.cost.meter import Stopwatch
from peftcost.engine import ranks
from peftcost.engine.dataset import batches_of_epoch
from peftcost.engine.packing import can_pack
from peftcost.engine.train import Loop

TIMED_STEPS = 3
ENOUGH_SECONDS = 3.0
"""A step that takes so long is timed once: what disturbs it is short beside it."""
WORTH_CHANGING = 0.9
"""A faster way is taken where it takes less than this share of the time."""


@dataclass(frozen=True)
class Times:
    """What a training takes, in device-seconds.

    step, frozen: of an example, of what is trained and of the frozen layers. tokens: that such an example is padded to.
    fixed: comes once, whatever the length.
    """

    step: float
    frozen: float
    tokens: float
    fixed: float = 0.0


def step_times(loop: Loop) -> Times:
    """From a few real steps, which change the model."""
    batches = batches_of_epoch(loop.extent.sorted_by, loop.batch_size, loop.job.seed, 0)
    whole = full_ones(loop, batches)
    with loop.capture_steps():
        times = captured_times(loop, whole) if loop.graphs is not None else eager_times(loop, batches, whole)
    loop.graphs = None
    return times


def full_ones(loop: Loop, batches: list[np.ndarray]) -> list[np.ndarray]:
    """The batches that are full; all, where none is."""
    return [batch for batch in batches if len(batch) == loop.batch_size] or batches


def usual_seconds(loop: Loop) -> float:
    """Device-seconds of a step on one full batch of middling length, replayed where it is captured. The steps change the
    model."""
    usual = middling(loop, full_ones(loop, batches_of_epoch(loop.extent.sorted_by, loop.batch_size, loop.job.seed, 0)))
    loop.optimization.clear()  # of a step that had failed
    with loop.capture_steps():
        _, *others = timed_steps(loop, usual)
    loop.graphs = None
    return alike(min(others))


def middling(loop: Loop, batches: list[np.ndarray]) -> np.ndarray:
    """The batch of middling length."""
    return sorted(batches, key=loop.extent.width)[len(batches) // 2]


def timed_steps(loop: Loop, indices: np.ndarray) -> list[float]:
    """Seconds of a few steps on one batch, of which the first may be captured. The one before them is not timed: a process's
    first step loads kernels."""
    loop.train_step(indices)
    watch = Stopwatch(loop.train_state.device)
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        loop.train_step(indices)
        seconds.append(watch.lap())
    return seconds


def eager_times(loop: Loop, batches: list[np.ndarray], whole: list[np.ndarray]) -> Times:
    """From the first few batches. whole: those that are full, which tell how much is padded."""
    timed = batches[: TIMED_STEPS + 1]
    per_token, frozen_rate = seconds_per_token(loop, timed)
    if _can_pack(loop):
        loop.packs = True
        packed_per_token, _ = seconds_per_token(loop, timed)
        loop.packs = packed_per_token < WORTH_CHANGING * per_token
        per_token = packed_per_token if loop.packs else per_token
    tokens_per_example = sum(map(loop.extent.tokens, whole)) / sum(len(batch) for batch in whole)
    step = max(0.0, per_token - frozen_rate) * tokens_per_example
    return Times(step, frozen_rate * tokens_per_example, tokens_per_example)


def _can_pack(loop: Loop) -> bool:
    """Whether the model gives the same for texts laid end to end. Not asked on a GPU: an index error ends the process."""
    train_state = loop.train_state
    collator = train_state.collator
    if train_state.frozen_layers is not None or train_state.device.type == "cuda" or "input_ids" not in collator.padding:
        return False
    return can_pack(train_state.model, collator.two_rows(train_state.plain.config), collator.padding["input_ids"])


def captured_times(loop: Loop, whole: list[np.ndarray]) -> Times:
    """From one batch of middling length: its first step runs eagerly, its second is captured, then it is replayed. What comes
    once is a graph for each form, which takes about two eager steps."""
    assert loop.shapes is not None
    usual = middling(loop, whole)
    first, *others = timed_steps(loop, usual)
    step = min(others)
    fixed = 2 * len(loop.shapes.forms) * max(0.0, first - step)
    return Times(step / len(usual), 0.0, loop.extent.tokens(usual) / len(usual), fixed)


def seconds_per_token(loop: Loop, batches: list[np.ndarray]) -> tuple[float, float]:
    """Of a training step, and of the frozen layers in it, over the batches' padded tokens. The quickest step counts: the
    first ones still allocate, and whatever else disturbs only adds."""
    watch = Stopwatch(loop.train_state.device)
    steps, frozen = [], [0.0]
    for indices in batches:
        loop.train_step(indices)
        seconds, tokens = watch.lap(), loop.extent.tokens(indices)
        steps.append(seconds / tokens)
        mine = ranks.shard(indices)
        if loop.source is not None and len(mine):
            batch = loop.train_state.collator.batch(loop.split, mine)
            watch.lap()
            loop.source.compute(batch)
            frozen.append(watch.lap() / tokens)
        if len(steps) > 1 and ranks.largest(seconds) >= ENOUGH_SECONDS:
            break
    return alike(min(steps[1:] or steps)), alike(min(frozen[1:], default=0.0))


def alike(seconds: float) -> float:
    """Device-seconds of what took each rank about so long: all decide by the same figure."""
    return ranks.count() * ranks.largest(seconds)
