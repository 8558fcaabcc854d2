"""What one trial (one setup, one seed) yields."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Role = Literal["explore", "confirm"]


@dataclass(frozen=True)
class Measurement:
    """The figures of one setup trained with one seed.

    gpu_seconds: device-seconds as if trained alone from the start (steps, waits for data, cool-down, quantizing).
    startup_seconds: loading the model and the data, beside gpu_seconds and not part of it.
    evaluation_seconds: predicting the dev examples, which is the search's wish and not part of gpu_seconds either.
    dev_rows: how many dev examples quality and dev_loss are of; None for all.
    peak_bytes: peak of live tensor storages during training; process_peak_bytes: what the system saw.
    ranks: how many devices trained it together; gpu_seconds and the like are of all of them, peak_bytes and
    process_peak_bytes of the one that needed most, summed_peak_bytes of all (None in old journals).
    energy_joules: of the training steps, where the machine counts it (whole processor or GPU).
    kept_train_rows, kept_dev_rows: of how many examples the activations of the setup's frozen layers are on disk since.
    quality_error: the standard error of quality over the dev examples, by the bootstrap.
    contended: something else used the processor meanwhile, so the times are not to be relied on.
    """

    seed: int
    role: Role
    quality: float
    train_loss: float
    dev_loss: float
    gpu_seconds: float
    startup_seconds: float
    peak_bytes: int
    process_peak_bytes: int
    latency_seconds: float
    artifact_bytes: int
    trainable_parameters: int
    total_parameters: int
    contended: bool = False
    energy_joules: float | None = None
    cost_basis: Literal["measured", "imputed"] = "measured"
    evaluation_seconds: float = 0.0
    dev_rows: int | None = None
    kept_train_rows: int = 0
    kept_dev_rows: int = 0
    quality_error: float | None = None
    ranks: int = 1
    summed_peak_bytes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Measurement:
        return cls(**raw)


def reading_scale(measurements: Sequence[Measurement], dev_rows: int, limits: tuple[float, float]) -> float:
    """What readings are measured by: the width of the metric's range; without limits, twice the median deviation of one
    example, which is the same for a share of hits at one half (1 where nothing is known). dev_rows: of the whole split."""
    low, high = limits
    if math.isfinite(high - low):
        return high - low
    single = [m.quality_error * math.sqrt(m.dev_rows or dev_rows) for m in measurements if m.quality_error]
    return 2 * statistics.median(single) if single else 1.0


def reading_error(measurement: Measurement, dev_rows: int, scale: float) -> float:
    """The standard error of a quality over the dev examples: the bootstrap's (an old run: the largest that a share of hits
    can have), never less than ten hits in a thousand let expect, since few examples may agree by chance. scale: as
    `reading_scale` gives it."""
    single = scale / math.sqrt(measurement.dev_rows or dev_rows)
    return 0.5 * single if measurement.quality_error is None else max(measurement.quality_error, 0.1 * single)


def timed_undisturbed(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those whose times can be relied on; all of them when every one was taken beside foreign load."""
    return [m for m in measurements if not m.contended] or list(measurements)
