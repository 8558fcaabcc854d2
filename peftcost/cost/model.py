"""What setups will cost, from a probe of each method and from what was measured since. Pure, free of torch."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from peftcost.core.setup import ATTENTION, PACKING, WEIGHTS, Scalar, Setup
from peftcost.methods import get_method

FIXED_SECONDS = 1.5
"""Beside loading, what a trial takes that does not grow with the data: saving, latency, the memory reading."""


WEIGHT_BYTES = {"fp32": 4, "bf16": 2}
QUANTIZED_BYTES = {"int8": 1.0, "nf4": 0.5}
ENDING_SECONDS, GROUP_ENDING_SECONDS = 1.5, 4.0
"""On each device: what passes between seeing that the budget is at its end and having released it. A group of processes
takes longer to end than one."""
WRITERS = 2
"""Models that write at the end: the recommended and the untuned one."""
PLENTY = 4
"""A device with this many times the memory that a method's first setup takes has room for all of them."""


@dataclass(frozen=True)
class Probe:
    """What a few real steps of a method's prior-best setup showed.

    predicted_peak_bytes: by estimate, before the steps, for setups of this memory_key. micro_batch_size,
    gradient_checkpointing: what it took to fit the device; None and False when it fits as it is. precision: the fastest;
    weights: in what the frozen part of the base is held; packing: whether it is faster with texts laid end to end.
    seconds_per_example: training, one device; less frozen_seconds_per_example, which is what the frozen layers takes, once
    for each example, and fixed_seconds, which come once, whatever the length. evaluation_seconds_per_example: forward only.
    answering_seconds: what a contender takes to write the texts that are asked for at the end; 0 where none are.
    attention: how the base computes it where that was measured to be faster than what transformers chooses, else None.
    layers: of the base, 0 where that is not known; top_layers: how many of them the probe trained, None for all.
    """

    startup_seconds: float
    seconds_per_example: float
    evaluation_seconds_per_example: float
    peak_bytes: int
    trainable_parameters: int
    total_parameters: int
    predicted_peak_bytes: int = 0
    memory_key: str = ""
    micro_batch_size: int | None = None
    gradient_checkpointing: bool = False
    frozen_seconds_per_example: float = 0.0
    precision: str = "fp32"
    packing: bool = False
    layers: int = 0
    top_layers: Scalar = None
    fixed_seconds: float = 0.0
    weights: str = "fp32"
    answering_seconds: float = 0.0
    attention: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def training_seconds(self, stop_examples: int, train_rows: int, kept_rows: int = 0) -> float:
        """Of a training alone; less what the frozen layers of kept_rows of the training rows took those that came before."""
        rows = train_rows or stop_examples
        frozen = self.frozen_seconds_per_example * min(stop_examples, rows) * (1 - min(1.0, kept_rows / max(1, rows)))
        return self.fixed_seconds + self.seconds_per_example * stop_examples + frozen

    def at_depth(self, top_layers: Scalar) -> Probe:
        """What it would have shown with so many layers trained, None for all.

        Each takes its share of the probe's, or of three forward passes where the probe trained none; what lies below them is
        computed once. Of the memory, all but the weights shrinks with the layers.
        """
        if not self.layers or top_layers == self.top_layers:
            return self
        k, probed = (self.layers if top is None else min(int(top), self.layers) for top in (top_layers, self.top_layers))
        forward, share = self.evaluation_seconds_per_example, k / self.layers
        seconds = self.seconds_per_example * k / probed if probed else self.seconds_per_example + 3 * forward * share
        peak = self.predicted_peak_bytes or self.peak_bytes
        weights = min(peak, WEIGHT_BYTES[self.weights] * self.total_parameters)
        return replace(
            self,
            seconds_per_example=seconds,
            frozen_seconds_per_example=forward * (1 - share),
            predicted_peak_bytes=round(weights + (peak - weights) * k / probed) if 0 < k < probed else peak,
        )

    def fitting(self) -> dict[str, Scalar]:
        """The choices that suit the device."""
        choices: dict[str, Scalar] = {"precision": self.precision}
        if self.weights != "fp32":
            choices[WEIGHTS] = self.weights
        if self.attention is not None:
            choices[ATTENTION] = self.attention
        if self.micro_batch_size is not None:
            choices |= {"micro_batch_size": self.micro_batch_size, "gradient_checkpointing": self.gradient_checkpointing}
        return choices | {PACKING: True} if self.packing else choices


@dataclass(frozen=True)
class Prediction:
    """gpu_seconds and peak_bytes of a setup; trial_seconds is what the search pays: startup and evaluation too."""

    gpu_seconds: float
    peak_bytes: int
    trial_seconds: float


@dataclass(frozen=True)
class CostModel:
    """Predicts from probes, by arm; `corrected` by measurements it learns.

    kept: by `frozen_key`, of how many rows of train and of dev the activations of the frozen layers are on disk, so that no
    trial pays for them again. ranks: how many devices train a setup together; all seconds here are of all of them.
    """

    probes: Mapping[str, Probe]
    dev_rows: int
    test_rows: int
    train_rows: int = 0
    ranks: int = 1
    corrections: Mapping[str, float] = field(default_factory=dict)
    peaks: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def predict(self, setup: Setup, parent: Setup | None = None, dev_rows: int | None = None) -> Prediction:
        """KeyError for an arm that was not probed. parent: the stop of the same lineage whose checkpoint it goes on
        from; dev_rows: how many dev examples are predicted, None for all."""
        probe = self._probe_of(setup)
        correction = self.corrections.get(setup.memory_key, self.corrections.get(setup.arm, 1.0))
        gpu_seconds = correction * probe.training_seconds(setup.stop_examples, self.train_rows)
        rows = self.dev_rows if dev_rows is None else min(dev_rows, self.dev_rows)
        kept_train_rows, kept_dev_rows = self.kept.get(frozen_key(setup), (0, 0))
        found = min(rows, kept_dev_rows)
        each, each_found = probe.evaluation_seconds_per_example, probe.seconds_per_example  # a step takes more than a pass
        evaluation = each * (rows - found) + min(each, each_found) * found
        training = probe.training_seconds(setup.stop_examples, self.train_rows, kept_train_rows)
        if parent is not None:
            training -= (
                probe.training_seconds(stable_examples(parent), self.train_rows, kept_train_rows) - probe.fixed_seconds
            )
        peak_bytes = self.peaks.get(setup.memory_key, probe.predicted_peak_bytes or probe.peak_bytes)
        beside = probe.startup_seconds + evaluation + self.ranks * FIXED_SECONDS
        return Prediction(gpu_seconds, peak_bytes, correction * training + beside)

    def base_bytes(self, setup: Setup) -> int:
        """Of what a setup needs, what the frozen base takes at least: setups that train over one pass of it share it.

        At least, since embeddings are not quantized."""
        probe, quantization = self._probe_of(setup), get_method(setup.method).quantization
        held_in = str(setup.hyperparameters.get(WEIGHTS, "fp32"))
        each = QUANTIZED_BYTES[quantization] if quantization else WEIGHT_BYTES[held_in]
        frozen = probe.total_parameters - probe.trainable_parameters
        return min(self.predict(setup).peak_bytes, int(each * frozen))

    def corrected(self, setup: Setup, gpu_seconds: float) -> CostModel:
        """The model after a measurement, which corrects the probe for setups that differ in rate or length alone; for
        others of the method, the dearest one seen does."""
        probed = self._probe_of(setup).training_seconds(setup.stop_examples, self.train_rows)
        factor = gpu_seconds / max(probed, 1e-9)
        dearest = max(factor, self.corrections.get(setup.arm, 0.0))
        return replace(self, corrections={**self.corrections, setup.memory_key: factor, setup.arm: dearest})

    def _probe_of(self, setup: Setup) -> Probe:
        return self.probes[setup.arm].at_depth(setup.hyperparameters.get("top_layers"))

    def with_peak(self, setup: Setup, peak_bytes: int) -> CostModel:
        """The model after an estimate."""
        return replace(self, peaks={**self.peaks, setup.memory_key: peak_bytes})

    def with_kept(self, setup: Setup, train_rows: int, dev_rows: int) -> CostModel:
        """The model after a training that left, or found, the activations of so many rows."""
        return replace(self, kept={**self.kept, frozen_key(setup): (train_rows, dev_rows)})

    def wants_estimate(self, setup: Setup, memory_bytes: int) -> bool:
        """Whether it is not plain that the setup fits: none that needs just as much memory was measured or estimated, and
        the method's first one took a good part of memory_bytes. An estimate keeps the device for a second or two."""
        return setup.memory_key not in self.peaks and self.predict(setup).peak_bytes * PLENTY >= memory_bytes

    def closing_seconds(self) -> float:
        """What the test takes of the devices at the end: two artifacts, one of them of the slowest method, and the
        untuned one over the test split; where texts are asked for, writing them; of a group of devices also what ending it
        takes."""
        if not self.probes:
            return 0.0
        startup = max(probe.startup_seconds for probe in self.probes.values())
        per_example = [probe.evaluation_seconds_per_example for probe in self.probes.values()]
        rows = (max(per_example) + 2 * statistics.median(per_example)) * self.test_rows
        ending = self.ranks * GROUP_ENDING_SECONDS if self.ranks > 1 else 0.0
        starting = startup + self.ranks * FIXED_SECONDS
        answering = max(probe.answering_seconds for probe in self.probes.values())
        writing = WRITERS * (starting + answering) if answering else 0.0
        return 3 * starting + rows + writing + ending


def frozen_key(setup: Setup) -> str:
    """Setups with one key leave the same layers untouched."""
    return f"{setup.arm}, top {setup.hyperparameters.get('top_layers')}"


def stable_examples(setup: Setup) -> int:
    """How many examples are behind the checkpoint that a longer stop goes on from: all but the cool-down's."""
    return round(setup.stop_examples * (1 - float(setup.hyperparameters.get("cooldown_share") or 0.0)))
