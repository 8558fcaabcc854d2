"""Trains one setup with one seed and measures it. The loop is the same for every method, device and world size."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peftcost.core.memory import folder_bytes
from peftcost.core.setup import PACKING
from peftcost.core.statistics import nested_sample
from peftcost.cost.contention import ForeignLoad
from peftcost.cost.energy import EnergyMeter
from peftcost.cost.meter import MICRO_BATCHES_TO_PEAK, Stopwatch, process_peak_bytes, reset_peaks, step_peak_bytes
from peftcost.data.features import Split
from peftcost.engine import cuda_graphs, ranks
from peftcost.engine.artifact import save_artifact
from peftcost.engine.checkpoint import keep_only, newest_checkpoint, save_checkpoint
from peftcost.engine.curve import LossCurve
from peftcost.engine.dataset import batches_ahead, batches_from, load_dataset_info, load_split, micro_batches
from peftcost.engine.evaluate import evaluate, latency_seconds, measure_dev
from peftcost.engine.few_labels import change_of, changes_batches, changes_inputs
from peftcost.engine.fitting import predicted_peak_bytes
from peftcost.engine.job import Reporter, TrainJob
from peftcost.engine.judged import judged
from peftcost.engine.messages import Progress
from peftcost.engine.moved import check_moved, fingerprints
from peftcost.engine.packing import packed_logits
from peftcost.engine.schedule import StepPlan, plan_steps
from peftcost.engine.source import forward, live_source, share
from peftcost.engine.step import Step
from peftcost.engine.train_state import TrainState, build, count_parameters
from peftcost.engine.wanted_logits import with_places
from peftcost.errors import SetupFailed
from peftcost.methods import Method
from peftcost.tasks.batch import Batch

LOSS_MEMORY = 0.95
"""Weight of the past in the running mean of the training loss."""
LOOK_EVERY = 10
"""Steps between looks at the loss; each look waits for the device."""
EVALUATIONS_PER_EPOCH = 8


def train(job: TrainJob, reporter: Reporter) -> dict[str, Any]:
    """Train, evaluate on dev, save the artifact and measure. Returns the fields of a `Measurement` (less role).

    Raises SetupFailed when the loss is not finite or nothing that should be trained has moved.
    """
    reporter.phase("startup")
    began = time.perf_counter()
    torch.manual_seed(job.seed)
    folder, out = Path(job.prepared), Path(job.out)
    info, split, dev = load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "dev")
    if job.train_rows is not None:
        split = split.only(nested_sample(len(split), job.train_rows))
    if job.estimate_step:
        reporter.phase("plan")
        reporter.predicted(predicted_peak_bytes(job, info, split))
        reporter.phase("startup")
        began = time.perf_counter()
    plan = plan_steps(job.setup, len(split))
    train_state = build(job.setup, job.seed, info, plan.total_steps)
    before = fingerprints(train_state)
    ranks.own_randomness(job.seed)
    loop = Loop(job, reporter, train_state, split, dev, plan)
    loop.share_activations()
    loop.resume()
    startup_seconds = time.perf_counter() - began - train_state.quantizing_seconds

    reset_peaks(train_state.device)
    loop.run()
    process_peak = process_peak_bytes(train_state.device)
    check_moved(before, train_state)

    reporter.phase("evaluate")
    watch = Stopwatch(train_state.device)
    on_dev = measure_dev(job, info, train_state.model, dev, train_state.collator, loop.dev_source)
    evaluation_seconds = watch.lap()
    loop.book_evaluation()

    reporter.phase("checkpoint")
    save = train_state.method.save if job.whole else train_state.method.save_trained
    ranks.on_main(lambda: save_artifact(save, train_state.plain, out / "model"))
    reporter.phase("measure")
    trainable, total = count_parameters(train_state.plain)
    latency = ranks.on_main(lambda: latency_seconds(train_state.model, dev, train_state.collator, train_state.device))
    peak_bytes = loop.peak_bytes()
    measured = {
        **on_dev,
        "train_loss": loop.train_loss,
        "gpu_seconds": loop.gpu_seconds,
        "startup_seconds": ranks.count() * startup_seconds,
        "evaluation_seconds": ranks.count() * evaluation_seconds,
        "kept_train_rows": 0 if loop.source is None else loop.source.kept_rows,
        "kept_dev_rows": 0 if loop.dev_source is None else loop.dev_source.kept_rows,
        "process_peak_bytes": int(ranks.largest(process_peak)),
        "latency_seconds": latency,
        "artifact_bytes": ranks.on_main(lambda: folder_bytes(out / "model")),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "peak_bytes": int(ranks.largest(peak_bytes)),
        "ranks": ranks.count(),
        "summed_peak_bytes": int(ranks.total(peak_bytes)[0]),
        "contended": loop.contended,
        "energy_joules": loop.energy_joules,
    }
    ranks.on_main(lambda: keep_only(loop.chain, set() if train_state.method.fixed_horizon else {plan.stable_steps}))
    return measured


class Loop:
    """The training loop of one setup; its state is what a checkpoint keeps."""

    def __init__(
        self, job: TrainJob, reporter: Reporter, train_state: TrainState, split: Split, dev: Split, plan: StepPlan
    ) -> None:
        self.job, self.reporter, self.plan = job, reporter, plan
        self.train_state, self.split, self.dev = train_state, split, dev
        choices, folder = train_state.choices, Path(job.prepared)
        self.change = change_of(choices, split, load_dataset_info(folder)) if changes_batches(choices) else None
        self.source = None if changes_inputs(choices) else live_source(train_state, split)
        self.dev_source = live_source(train_state, dev)
        self.sources = [source for source in (self.source, self.dev_source) if source is not None]
        collator = train_state.collator
        self.targets = collator.task_type.target_counts(split, collator.max_tokens)
        self.extent = cuda_graphs.Extent.of(split, collator, self.targets, train_state.end_to_end)
        self.packs = bool(choices.get(PACKING)) and self.source is None
        self.optimization = Step(
            train_state.model,
            train_state.plain,
            list(train_state.trained.values()),
            self._logits,
            train_state.optimizer,
            train_state.method,
            choices,
            collator.task_type,
            train_state.accelerator,
        )
        self.graphs: cuda_graphs.Graphs | None = None
        self.shapes: cuda_graphs.Shapes | None = None  # also afterwards: memory is measured on steps like those that ran
        self.chain = Path(job.out) / "checkpoint"
        self.step = self.first_step = 0
        self.gpu_seconds = ranks.count() * train_state.quantizing_seconds
        self.contended = False
        self.energy_joules: float | None = 0.0
        self.train_loss = math.nan
        self.curve = LossCurve(plan.total_steps)
        self.best_quality, self.stale = -math.inf, 0

    def share_activations(self) -> None:
        """Find what other setups computed of the same frozen layers, and leave them what is computed here. Not on a GPU,
        which computes it anew in less time than a disk takes, not of several ranks (each would have to know what the
        others have paid for), and not of a part of the rows, whose numbers are others."""
        if self.train_state.device.type == "cuda" or ranks.count() > 1 or self.job.train_rows is not None:
            return
        for source, name in ((self.source, "train"), (self.dev_source, "dev")):
            if source is not None:
                share(source, self.train_state, Path(self.job.prepared), name)

    def resume(self) -> None:
        """Go on from the newest checkpoint of this training, else from the parent's stable phase, else start."""
        checkpoint = newest_checkpoint(self.chain)
        if checkpoint is None and self.job.parent is not None:
            checkpoint = newest_checkpoint(Path(self.job.parent))
        if checkpoint is None:
            return
        facts = checkpoint.facts
        if (facts["lineage"], facts["seed"]) != (self.job.setup.lineage, self.job.seed):
            raise SetupFailed(f"the checkpoint at step {facts['step']} belongs to another lineage or seed")
        self.train_state.restore(checkpoint.tensors)
        self.first_step = facts["step"]
        self.step, self.gpu_seconds, self.train_loss = facts["step"], facts["gpu_seconds"], facts["train_loss"]
        self.contended, self.energy_joules = facts["contended"], facts["energy_joules"]
        if self.source is not None:
            for indices in islice(batches_from(self.extent.sorted_by, self.batch_size, self.job.seed, 0), self.step):
                self.source.paid(indices)

    def run(self) -> None:
        """Train from `step` to the end of the plan."""
        self.train_state.model.train()
        self.reporter.phase("train")
        with self.capture_steps():
            self.run_steps()

    def run_steps(self) -> None:
        """As `run`, captured only where the caller has entered `capture_steps`."""
        self._start_meters()
        watch = Stopwatch(self.train_state.device)
        saved_at = time.monotonic()
        losses: list[torch.Tensor] = []
        for indices in batches_from(self.extent.sorted_by, self.batch_size, self.job.seed, self.step):
            at_stable_end = self.step == self.plan.stable_steps and self.step > 0
            if at_stable_end or self._is_time_to_save(saved_at):
                self._look(losses)
                self._book(watch.lap())
                self._save()
                self._start_meters()
                watch.lap()  # saving is not training
                saved_at = time.monotonic()
            if self.step >= self.plan.total_steps:
                break
            losses.append(self.train_step(indices))
            self.step += 1
            if self.step % LOOK_EVERY == 0 or self.step == self.plan.total_steps:
                self._look(losses)
            if self._is_time_to_stop():
                cooldown = self.plan.total_steps - self.plan.stable_steps
                self.plan = replace(self.plan, stable_steps=self.step, total_steps=self.step + cooldown)
        self._book(watch.lap())

    def _start_meters(self) -> None:
        self._foreign, self._energy = ForeignLoad(), EnergyMeter(self.train_state.device)

    def _book(self, seconds: float) -> None:
        """Count what a stretch of training took, with what it owes for activations that others had computed: alone, it
        would have paid for them, in energy as in time."""
        contended = bool(ranks.largest(self._foreign.contended()))
        owed = sum(source.take_owed_seconds(contended) for source in self.sources)
        self.contended = self.contended or contended
        self.gpu_seconds += ranks.count() * (seconds + owed)
        joules = self._joules()
        if joules is None or self.energy_joules is None:
            self.energy_joules = None
        else:
            self.energy_joules += joules * (1 + owed / seconds)

    def _joules(self) -> float | None:
        """Of all ranks' devices. A CPU's counter is of the whole processor, whichever rank reads it."""
        joules = self._energy.joules()
        if self.train_state.device.type != "cuda":
            return joules
        (together,) = ranks.total(math.nan if joules is None else joules)
        return None if math.isnan(together) else together

    def book_evaluation(self) -> None:
        """Predicting dev at the end is the search's wish: nobody is charged, but what it computed has a price for others."""
        if self.dev_source is not None:
            self.dev_source.take_owed_seconds(self._foreign.contended())

    @property
    def batch_size(self) -> int:
        return int(self.train_state.choices["batch_size"] or 1)

    @property
    def micro_batch_size(self) -> int:
        return int(self.train_state.choices["micro_batch_size"] or self.batch_size)

    def train_step(self, indices: np.ndarray) -> torch.Tensor:
        """One optimizer step on these examples; the mean loss over their targets, shape (), or this rank's part of it."""
        train_state = self.train_state
        train_state.set_rate(self.plan.rate_factor(self.step))
        if self.graphs is None:
            mean_loss = self._gradients(indices)
            self.optimization.update()
        else:
            count = torch.tensor(float(max(1, self.targets[indices].sum())))
            form = self._form(indices)
            loss, *gradients = self.graphs(list(self._parts(indices, form)), count, form)
            mean_loss = loss.clone()  # the next step writes there
            for parameter, gradient in zip(self.optimization.trained, gradients, strict=False):
                parameter.grad = gradient
        train_state.method.after_step(train_state.plain, self.step)
        self.optimization.clear()
        return mean_loss

    def _whole_step(self, parts: Sequence[Batch], n_targets: torch.Tensor) -> list[torch.Tensor]:
        """A step as a CUDA graph holds it: the mean loss, and the gradients where the method reads them afterwards."""
        if self.source is not None:
            parts = [replace(part, activations=self.source.compute(part)) for part in parts]
        loss = self.optimization.gradients(parts, n_targets, sum(part.examples for part in parts))
        self.optimization.update()
        gradients: list[torch.Tensor] = []
        if type(self.train_state.method).after_step is not Method.after_step:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.optimization.trained]
        self.optimization.clear()
        return [loss, *gradients]

    def _gradients(self, indices: np.ndarray) -> torch.Tensor:
        """Gradients of the mean loss over all targets of the batch, micro-batch by micro-batch, clipped."""
        parts = (part.to(self.train_state.device) for part in self._parts(indices, self._form(indices)))
        return self.optimization.gradients(parts, max(1, int(self.targets[indices].sum())), len(indices))

    def _parts(self, indices: np.ndarray, form: cuda_graphs.Form) -> Iterator[Batch]:
        """The micro-batches of this rank's share, padded to the longest row of each, or to what is captured."""
        collator, (width, places) = self.train_state.collator, form
        for number, part in enumerate(micro_batches(ranks.shard(indices), self.micro_batch_size)):
            batch = collator.batch(self.split, part, 0 if self.extent.end_to_end else width)
            if self.change is not None:
                batch = self.change(batch, hash((self.job.seed, self.step, number * self.micro_batch_size)) & 0x7FFFFFFF)
            batch = self.train_state.laid_out(batch, width, self.extent.longest, self.micro_batch_size)
            if self.shapes is not None:  # its shape follows from examples and form
                batch = with_places(collator.task_type.seen(batch), places)
            yield batch if self.graphs is not None or self.source is None else self.source.fill(part, batch)

    def _form(self, indices: np.ndarray) -> cuda_graphs.Form:
        """What each micro-batch of a step on these examples is padded to; nothing where steps are eager."""
        shapes = self.shapes
        return (0, 0) if shapes is None else shapes.fit(*self.extent(micro_batches(indices, self.micro_batch_size)))

    def _logits(self, batch: Batch) -> torch.Tensor:
        model, collator = self.train_state.model, self.train_state.collator
        if not self.packs:
            return forward(model, batch, self.train_state.frozen_layers)
        return packed_logits(model, batch, collator.padding["input_ids"], collator.task_type.per_token)

    def capture_steps(self) -> contextlib.AbstractContextManager[None]:
        """A context for the steps to come, in which they are captured in CUDA graphs where that can be done."""
        steps, device = self.plan.total_steps - self.step, self.train_state.device
        if steps <= 0 or cuda_graphs.unsupported_reason(self.train_state) is not None:
            return contextlib.nullcontext()
        batches = batches_ahead(self.extent.sorted_by, self.batch_size, self.job.seed, self.step, steps)
        parts = [micro_batches(indices, self.micro_batch_size) for indices in batches]
        self.shapes = cuda_graphs.plan_shapes(parts, self.extent, steps)
        self.graphs = cuda_graphs.Graphs(self._whole_step, self.shapes, device)
        return cuda_graphs.own_stream(device)

    def _look(self, losses: list[torch.Tensor]) -> None:
        """Read the losses since the last look (this waits for the device) and report."""
        values = ranks.summed(torch.stack(losses)).tolist() if losses else []
        for value in values:
            if not math.isfinite(value):
                raise SetupFailed(f"the training loss became {value} before step {self.step}; lower the learning rate")
            past = value if math.isnan(self.train_loss) else self.train_loss
            self.train_loss = LOSS_MEMORY * past + (1 - LOSS_MEMORY) * value
        losses.clear()
        self.curve.add(self.step, values)
        if self.step >= self.plan.total_steps:
            self.curve.end(self.step)
        self._report()

    def _report(self, *evaluations: list[float]) -> None:
        losses, total = self.curve.take(), self.plan.total_steps
        told = Progress(self.step, total, self.train_loss, losses, list(evaluations), self.first_step)
        self.reporter.progress(told)

    def _save(self) -> None:
        self.reporter.phase("checkpoint")
        facts = {
            "lineage": self.job.setup.lineage,
            "seed": self.job.seed,
            "step": self.step,
            "gpu_seconds": self.gpu_seconds,
            "train_loss": self.train_loss,
            "contended": self.contended,
            "energy_joules": self.energy_joules,
        }
        tensors = self.train_state.tensors()
        ranks.on_main(lambda: save_checkpoint(self.chain, tensors, facts))
        ranks.on_main(lambda: keep_only(self.chain, {self.plan.stable_steps, self.step}))
        self.reporter.phase("train")

    def _is_time_to_save(self, saved_at: float) -> bool:
        """By the clock; of several ranks by the main one's, at every tenth step, since to ask it they wait for each other."""
        due = time.monotonic() - saved_at > self.job.checkpoint_seconds
        return due if ranks.count() == 1 else self.step % LOOK_EVERY == 0 and ranks.agreed(due)

    def _is_time_to_stop(self) -> bool:
        """Early stopping, for production: dev quality has not risen for `patience` evaluations of the stable phase."""
        patience = self.job.early_stopping_patience
        every = max(1, len(self.split) // self.batch_size // EVALUATIONS_PER_EPOCH)
        if patience is None or self.step >= self.plan.stable_steps or self.step % every:
            return False
        info = load_dataset_info(Path(self.job.prepared))
        train_state = self.train_state
        evaluation = evaluate(train_state.model, self.dev, train_state.collator, train_state.device, self.dev_source)
        quality = judged(info, evaluation.rows)
        self._report([self.step, evaluation.loss, quality])
        self.stale = 0 if quality > self.best_quality else self.stale + 1
        self.best_quality = max(self.best_quality, quality)
        return self.stale >= patience

    def peak_bytes(self) -> int:
        """`peak_bytes` of this rank, from one more, untimed step on the largest batch. Changes the model: call it last.

        Of its micro-batches only the largest are run: profiling fragments the heap, with sixteen to ten times the peak.
        """
        every = batches_ahead(self.extent.sorted_by, self.batch_size, self.job.seed, 0, self.plan.total_steps)
        largest = self.extent.largest(every, self.micro_batch_size, MICRO_BATCHES_TO_PEAK * ranks.count())
        self.train_state.model.train()
        self.train_state.set_rate(0.0)
        self.graphs = None
        if self.source is not None:
            self.source.stored = None  # alone, a training computes its activations once: that counts

        def step() -> None:
            self._gradients(largest)
            self.optimization.update()

        return step_peak_bytes(step, self.train_state.plain, self.train_state.optimizer, self.train_state.device)
