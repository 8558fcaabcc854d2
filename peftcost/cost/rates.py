"""From work to seconds: what a step computes and moves, and how fast a device does each. Pure, free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Work:
    """What one training step asks of a device.

    matmul_flops, attention_flops: floating-point operations. random_elements: of dropout masks. curved_elements: of
    activations, softmax and norms. gathered_elements: of embeddings and their gradients. optimizer_elements: updated
    parameters. moved_bytes: read and written by everything else. int8_elements, nf4_elements: dequantized weights.
    kernels: operators started.
    """

    matmul_flops: float = 0.0
    attention_flops: float = 0.0
    random_elements: float = 0.0
    curved_elements: float = 0.0
    gathered_elements: float = 0.0
    optimizer_elements: float = 0.0
    moved_bytes: float = 0.0
    int8_elements: float = 0.0
    nf4_elements: float = 0.0
    kernels: float = 0.0

    @property
    def flops(self) -> float:
        return self.matmul_flops + self.attention_flops

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


KINDS = tuple(f.name for f in fields(Work))


@dataclass(frozen=True)
class Rates:
    """Seconds that a device takes for one unit of each kind of work."""

    seconds_per: dict[str, float]

    def seconds(self, work: Work) -> float:
        return sum(self.seconds_per.get(kind, 0.0) * amount for kind, amount in work.as_dict().items())


def fit(works: Sequence[Work], seconds: Sequence[float]) -> Rates:
    """The rates that explain measured steps best, none negative, by least squares of the relative errors."""
    table = np.array([[getattr(work, kind) for kind in KINDS] for work in works])
    scale = table.max(axis=0)
    scale[scale == 0] = 1.0
    relative = table / scale / np.asarray(seconds)[:, None]
    found, _ = nnls(relative, np.ones(len(works)))
    return Rates({kind: float(value) for kind, value in zip(KINDS, found / scale, strict=True)})
