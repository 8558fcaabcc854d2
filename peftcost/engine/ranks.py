"""The processes that train one setup together, one a device: what each does, and what they tell each other.

Each holds the whole model and takes its share of every batch; gradients are summed once a step. That is done here, and the
model is not wrapped in DistributedDataParallel: what adapters train is small, so that DDP has little to overlap, and a rank
without rows, a parameter without a gradient and a model that is cut in two need nothing special.

A process alone is its own main rank, and nothing here does anything then. Of several, all have to call the same functions in
the same order, whatever each of them knows: what is decided by a clock or by a measured time is decided by `agreed` or
`largest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others before it gives up: one of them hangs. Longer than saving the largest artifact."""
BUCKET_BYTES = 2**26
"""How much of the gradients is summed at a time: the memory that it takes beside them."""

Given = TypeVar("Given")


def join() -> None:
    """Make this process a rank of the group that its launcher has started."""
    PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)


def device() -> torch.device:
    """What this process trains on."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device


def count() -> int:
    """How many processes train a setup together."""
    return dist.get_world_size() if _several() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if _several() else 0


def is_main() -> bool:
    """Whether this process is the one that writes and tells."""
    return rank() == 0


def on_main(act: Callable[[], Given]) -> Given | None:
    """What the main rank does alone, and its result there."""
    return act() if is_main() else None


def shard(indices: np.ndarray) -> np.ndarray:
    """This rank's share of these examples; none if there are fewer than ranks."""
    return indices[rank() :: count()]


def gather(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The arrays of all ranks one after the other, shape (n, ...): this rank's own, then as the ranks are numbered. They are
    alike but for their first dimension; a rank may have none. Of several ranks it comes in float64."""
    if not _several():
        return np.concatenate(parts)
    own = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 0))
    own = own.reshape(len(own), -1)
    shapes = [shape.tolist() for shape in _every(torch.tensor(own.shape))]
    rows, width = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    padded = torch.zeros(rows, width, dtype=torch.float64)
    padded[: len(own), : own.shape[1]] = torch.from_numpy(own)
    whole = np.concatenate([found.numpy()[: shape[0]] for found, shape in zip(_every(padded), shapes, strict=True)])
    is_flat = bool(largest(float(bool(parts) and parts[0].ndim == 1)))
    return whole[:, 0] if is_flat else whole


def total(*values: float) -> tuple[float, ...]:
    """Each summed over the ranks."""
    return _reduced(values, dist.ReduceOp.SUM)


def largest(value: float) -> float:
    """The largest of the ranks' values."""
    return _reduced([value], dist.ReduceOp.MAX)[0]


def agreed(flag: bool) -> bool:
    """What the main rank says, on all ranks, which wait here for each other."""
    return bool(total(float(flag and is_main()))[0])


def summed(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of the ranks' tensors, on all ranks."""
    if _several():
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Add up the ranks' gradients, in their places. A parameter that no rank has a gradient of keeps none.

    Every rank sends as much as the others, zeros for what it has no gradient of, so that none waits in vain for one that had
    no rows.
    """
    if not _several():
        return
    for bucket in _buckets(parameters):
        flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        held = flat[0].new_tensor([float(p.grad is not None) for p in bucket])
        together = torch.cat([held, *(gradient.reshape(-1) for gradient in flat)])
        dist.all_reduce(together)
        sums = torch.split(together[len(bucket) :], [p.numel() for p in bucket])
        for number, (parameter, gradient) in enumerate(zip(bucket, sums, strict=True)):
            if parameter.grad is not None:
                parameter.grad.copy_(gradient.view_as(parameter))
            elif bool(together[number] > 0):  # waits for a GPU, but hardly ever comes
                parameter.grad = gradient.view_as(parameter).clone()


def own_randomness(seed: int) -> None:
    """From here on each rank draws its own random numbers, for dropout; the main one goes on as a process alone would."""
    if not is_main():
        torch.manual_seed(int(np.random.SeedSequence([seed, rank()]).generate_state(1)[0]))


def every_random_state(state: torch.Tensor) -> torch.Tensor:
    """The random states of all ranks, shape (ranks, n); of a process alone its own, shape (n,)."""
    return torch.stack(_every(state)) if _several() else state


def own_random_state(states: torch.Tensor) -> torch.Tensor:
    """This rank's, of what `every_random_state` gave. A training that is resumed by more ranks, or fewer, has no bits to keep
    equal."""
    return states if states.ndim == 1 else states[min(rank(), len(states) - 1)].clone()  # torch reads a view's storage whole


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _reduced(values: Sequence[float], how: dist.ReduceOp.RedOpType) -> tuple[float, ...]:
    if not _several():
        return tuple(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device())
    dist.all_reduce(tensor, how)
    return tuple(tensor.tolist())


def _every(tensor: torch.Tensor) -> list[torch.Tensor]:
    """This tensor of each rank, on the CPU; all of one shape."""
    found = [torch.empty_like(tensor, device=device()) for _ in range(count())]
    dist.all_gather(found, tensor.to(device()))
    return [one.cpu() for one in found]


def _buckets(parameters: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """In order, so many of one type at a time as a bucket holds."""
    bucket: list[torch.nn.Parameter] = []
    size = 0
    for parameter in parameters:
        more = parameter.numel() * parameter.element_size()
        if bucket and (size + more > BUCKET_BYTES or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += more
    if bucket:
        yield bucket
