"""Training steps as CUDA graphs: captured once for each shape of batch and replayed, so that no step waits for Python.

A step of a small model is bound by starting kernels: on an H200, LoRA on MiniLM takes 30 ms eagerly and 2.6 ms replayed. A
shape's first step runs eagerly and is a real one; the second is captured, which runs nothing, and replayed. All graphs
of a training share one memory pool, and the random state goes on as it would without them.
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from peftcost.core.setup import CLASS_WEIGHTS, PACKING
from peftcost.data.features import Split
from peftcost.engine.attention import is_flash
from peftcost.engine.dataset import Collator, micro_batches
from peftcost.engine.dry_run import stays_on_device
from peftcost.engine.graph_inputs import GraphInputs, tensors_of
from peftcost.engine.train_state import TrainState
from peftcost.tasks.batch import Batch

MOST_GRAPHS = 8
STEPS_A_GRAPH = 16
"""A training of so many steps for each graph, or more, has that many: a graph costs about three eager steps."""
FEWEST_REPLAYS = 4
"""A shape that comes less often is not captured."""
ALIGNMENT = 8
"""Sizes are multiples of it: matrix units take them whole, and there are fewer."""
HEADROOM, WIDTH_HEADROOM = 1.125, 1.04
"""Later epochs have other batches, some of which want more logits than all that were planned for, or have more tokens end to
end; their steps are eager. (Of dialogues and tweets .2 to .8 % of the steps without any room for such tokens.)"""

Form = tuple[int, int]
"""A micro-batch's width (where its texts lie end to end that of its only row), and for how many of its positions logits are
computed; 0 where that is for all."""
Key = tuple[tuple[int, ...], ...]
"""Shapes of each micro-batch's inputs and targets, and of the positions whose logits are computed."""
Function = Callable[[Sequence[Batch], torch.Tensor], list[torch.Tensor]]
"""Of micro-batches on the device and how many targets they have, shape (), or (k,) for k setups that share the batch."""


def unsupported_reason(train_state: TrainState) -> str | None:
    """Why the steps of this training cannot be captured, or None."""
    choices, collator = train_state.choices, train_state.collator
    reasons = {
        "the device is no CUDA GPU": train_state.device.type != "cuda",
        "several processes sum gradients": train_state.accelerator.num_processes > 1,
        "the optimizer has no capturable form": not isinstance(train_state.optimizer, torch.optim.AdamW),
        "layers are computed again from saved random states": bool(choices["gradient_checkpointing"]),
        "texts of any length are laid end to end": bool(choices.get(PACKING)),
        "a batch's rows have weights": bool(choices.get(CLASS_WEIGHTS)),
        "8-bit kernels look for outliers on the CPU": train_state.method.quantization == "int8",
    }
    found = next((reason for reason, holds in reasons.items() if holds), None)
    if found is not None:
        return found
    config: Any = train_state.plain.config
    if is_flash(config) and not train_state.end_to_end:
        return "its attention leaves out padding, which it counts on the CPU"
    batch = train_state.laid_out(collator.two_rows(config))
    on_device = stays_on_device(config, collator.task_type.auto_model, batch)
    return None if on_device else "its forward pass waits for the CPU"


@dataclass(frozen=True)
class Extent:
    """What batches of a split take, before they are made.

    lengths: tokens of each example. limit: where examples are cut. wanted: of how many positions of each example logits are
    wanted; None where that is all. end_to_end: whether examples lie behind each other in one row.
    """

    lengths: np.ndarray
    limit: int
    wanted: np.ndarray | None = None
    end_to_end: bool = False

    @classmethod
    def of(cls, split: Split, collator: Collator, targets: np.ndarray, end_to_end: bool = False) -> Extent:
        """targets: how many each example has."""
        wanted = targets if collator.task_type.keeps_places else None
        return cls(split.lengths, collator.max_tokens, wanted, end_to_end)

    def __call__(self, parts: Sequence[np.ndarray]) -> Form:
        """The least form that each of a batch's micro-batches fits into."""
        most = 0 if self.wanted is None else max(int(self.wanted[part].sum()) for part in parts)
        return max(map(self.width, parts)), most

    def width(self, part: np.ndarray) -> int:
        """Of these examples in a batch."""
        lengths = np.minimum(self.lengths[part], self.limit)
        return int(lengths.sum() if self.end_to_end else lengths.max())

    def tokens(self, part: np.ndarray) -> int:
        """That these examples take, padding included; of rows before they are cut."""
        return self.width(part) if self.end_to_end else len(part) * int(self.lengths[part].max())

    def largest(self, batches: Sequence[np.ndarray], rows: int, n: int) -> np.ndarray:
        """Examples of the largest batch: of its largest micro-batches, which have so many rows, n at most."""
        batch = max(batches, key=self.tokens)
        if self.end_to_end:
            return np.concatenate(sorted(micro_batches(batch, rows), key=self.width)[-n:])
        return batch[np.argsort(self.lengths[batch], kind="stable")][-n * rows :]

    @cached_property
    def longest(self) -> int:
        return int(min(self.limit, self.lengths.max()))

    @cached_property
    def sorted_by(self) -> np.ndarray:
        """By what examples are brought together in a batch: by length, that few tokens are padded. Where they lie end to end,
        by nothing: batches are of more even size then, which sizes of graphs fit closer."""
        return np.zeros_like(self.lengths) if self.end_to_end else self.lengths

    def with_headroom(self, width: int, rows: int) -> int:
        """Also for what other batches of so many examples may take."""
        more = _aligned(math.ceil(WIDTH_HEADROOM * width)) if self.end_to_end else width
        return max(width, min(more, rows * self.longest))

    def rounded(self, width: int) -> int:
        """A row is no wider than its longest example, unless several lie in it."""
        return width if self.end_to_end else min(width, self.limit)


@dataclass(frozen=True)
class Shapes:
    """What batches are padded to, the smallest first, and how often each form comes with so many examples."""

    forms: tuple[Form, ...]
    uses: Mapping[tuple[int, Form], float]

    def fit(self, longest: int, wanted: int) -> Form:
        """The form of a batch with this `Extent`."""
        return next((form for form in self.forms if form[0] >= longest and form[1] >= wanted), (longest, wanted))

    def pays(self, examples: int, form: Form) -> bool:
        """Whether batches of this shape come often enough to be captured."""
        return self.uses.get((examples, form), 0.0) >= FEWEST_REPLAYS


def plan_shapes(batches: Sequence[Sequence[np.ndarray]], extent: Extent, steps: int) -> Shapes:
    """Shapes for a training of so many steps. batches: those of an epoch, or as many of them as there are steps, each in its
    micro-batches."""
    extents = [extent(parts) for parts in batches]
    most = min(MOST_GRAPHS, max(1, steps // STEPS_A_GRAPH))
    widths = [extent.rounded(width) for width in bucket_sizes([longest for longest, _ in extents], most)]
    if steps > len(batches):
        widths[-1] = extent.with_headroom(widths[-1], max(len(part) for parts in batches for part in parts))
    wanted: dict[int, list[int]] = {width: [] for width in widths}
    for longest, places in extents:
        wanted[next(width for width in widths if width >= longest)].append(places)
    forms: list[Form] = []
    for width, places_there in wanted.items():
        *smaller, largest = bucket_sizes(places_there, most // len(widths))
        forms += [(width, size) for size in (*smaller, with_headroom(largest) if steps > len(batches) else largest)]
    shapes = Shapes(tuple(forms), {})
    sizes = [sum(map(len, parts)) for parts in batches]
    uses = Counter((n, shapes.fit(*found)) for n, found in zip(sizes, extents, strict=True))
    return replace(shapes, uses={shape: n * steps / len(batches) for shape, n in uses.items()})


def with_headroom(places: int) -> int:
    """Also for what other batches than those that were looked at may want; a multiple of ALIGNMENT."""
    return _aligned(math.ceil(HEADROOM * _aligned(places)))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def bucket_sizes(wanted: Sequence[int], most: int) -> list[int]:
    """At most so many sizes, multiples of ALIGNMENT, to which these can be rounded up with the least padding."""
    counts = Counter(map(_aligned, wanted))
    sizes = sorted(counts)
    below = np.concatenate([[0], np.cumsum([counts[size] for size in sizes])])
    # least[j]: padded tokens when the j smallest sizes are covered; with each round by one more width
    least = np.array([0.0] + [float("inf")] * len(sizes))
    chosen: list[list[int]] = [[] for _ in range(len(sizes) + 1)]
    for _ in range(most):
        found, paths = least.copy(), list(chosen)
        for end, size in enumerate(sizes, start=1):
            costs = least[:end] + size * (below[end] - below[:end])
            start = int(np.argmin(costs))
            if costs[start] < found[end]:
                found[end], paths[end] = costs[start], [*chosen[start], size]
        least, chosen = found, paths
    return chosen[-1]


@contextlib.contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """All of a training runs in this context, eager steps too: graphs are captured on the stream that warmed them up."""
    stream, before = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(before)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        before.wait_stream(stream)  # also after an error: what is freed then may be in use there


@dataclass
class _Captured:
    """A graph with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: GraphInputs
    outputs: list[torch.Tensor]


class Graphs:
    """Runs a function of micro-batches: each shape eagerly once, from then on as a CUDA graph, if that pays.

    The function waits for nothing, and its outputs depend on tensors alone; they hold until the next call.
    """

    def __init__(self, function: Function, shapes: Shapes, device: torch.device) -> None:
        self.function, self.shapes, self.device = function, shapes, device
        self._pool, self._copying = torch.cuda.graph_pool_handle(), torch.cuda.Stream(device)
        self._warm: set[Key] = set()
        self._captured: dict[Key, _Captured] = {}

    def __call__(self, parts: Sequence[Batch], n_targets: torch.Tensor, form: Form) -> list[torch.Tensor]:
        """parts: on the CPU. n_targets: on the CPU, in fp32. form: what the parts were padded to."""
        key = tuple(tuple(tensor.shape) for tensor in tensors_of(parts))
        if key not in self._captured:
            pays = self.shapes.pays(sum(part.examples for part in parts), form)
            if not pays or key not in self._warm or not has_room(self.device):
                self._warm.add(key)
                return self.function([part.to(self.device) for part in parts], n_targets.to(self.device))
            self._captured[key] = self._capture(parts, n_targets)
        captured = self._captured[key]
        captured.inputs.fill(parts, n_targets)
        captured.graph.replay()
        return captured.outputs

    def _capture(self, parts: Sequence[Batch], n_targets: torch.Tensor) -> _Captured:
        inputs = GraphInputs(parts, n_targets, self._copying)
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self.device)
        with _no_collection():
            graph.capture_begin(pool=self._pool)
            try:
                outputs = self.function(inputs.parts, inputs.n_targets)
            except BaseException:
                with contextlib.suppress(RuntimeError):  # else it would hide the error that ended the capture
                    graph.capture_end()
                raise
            graph.capture_end()
        return _Captured(graph, inputs, outputs)


def has_room(device: torch.device) -> bool:
    """Whether as much memory is left as a step has taken so far beside what stays: a graph keeps its own."""
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    wanted = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
    if free < wanted <= free + unused:
        torch.cuda.empty_cache()
    return wanted <= free + unused


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """What the collector frees while a graph is captured could end the capture."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
