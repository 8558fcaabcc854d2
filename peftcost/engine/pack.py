"""Trains several LoRA setups over one pass of the base; each keeps what it would have alone.

The members share the base's passes forward and backward. Each has its own adapter and head, optimizer, rate and schedule,
order of the data, clipping, losses and stop. The loss is the sum of the members' mean losses, and no row sees another
member's. So nobody's gradients depend on who else is there, and a member whose loss is not finite leaves without having
touched the others.

Numbers equal those of training alone but for floating-point noise, with two exceptions. Dropout draws other masks, since the
rows of all members stand in one batch. LLM.int8() computes columns in which any row has an outlier in 16 bits for all rows.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch

from peftcost.data.features import Split
from peftcost.engine import cuda_graphs
from peftcost.engine.adapter_train_state import AdapterTrainState
from peftcost.engine.dataset import Collator, batches_ahead, batches_from
from peftcost.engine.job import NullReporter, Reporter, TrainJob
from peftcost.engine.layout import end_to_end, under_each_other, without_mask
from peftcost.engine.messages import Progress
from peftcost.engine.moved import fingerprints
from peftcost.engine.packed_lora import packed
from peftcost.engine.schedule import StepPlan
from peftcost.engine.source import forward
from peftcost.engine.train import LOOK_EVERY, Loop
from peftcost.engine.wanted_logits import with_places
from peftcost.errors import SetupFailed
from peftcost.tasks.base import IGNORED
from peftcost.tasks.batch import Batch
from peftcost.tasks.lazy_logits import by_rows


@dataclass(frozen=True)
class CostAlone:
    """Seconds that a padded token takes in a training alone: for what is trained; and for the frozen layers, which such a
    training computes once for each example. fixed_seconds come once."""

    seconds_per_token: float
    frozen_seconds_per_token: float = 0.0
    fixed_seconds: float = 0.0
    contended: bool = False


class MemberReporter(NullReporter):
    """Tells how far one member is. The device's phases are the pack's."""

    def __init__(self, reporter: Reporter, number: int) -> None:
        self.reporter, self.number = reporter, number

    def progress(self, progress: Progress) -> None:
        self.reporter.progress(replace(progress, member=self.number))


class Member(Loop):
    """One of a pack: its training, a step of which the pack computes. Its cost is that of training it alone, imputed.

    number: its place among the pack's jobs. before: fingerprints of its tensors when they were new. failure: why it cannot go
    on.
    """

    train_state: AdapterTrainState

    def __init__(
        self,
        number: int,
        job: TrainJob,
        train_state: AdapterTrainState,
        split: Split,
        dev: Split,
        plan: StepPlan,
        reporter: Reporter,
    ) -> None:
        super().__init__(job, MemberReporter(reporter, number), train_state, split, dev, plan)
        self.number, self.before = number, fingerprints(train_state)
        self.failure: str | None = None
        self.saved_step, self.saved_at = 0, time.monotonic()
        self.energy_joules = None
        self._unread: list[torch.Tensor] = []
        self._seen = np.zeros(len(split), dtype=bool)
        try:
            self.resume()
        except SetupFailed as error:
            self.failure = str(error)
        first = batches_from(self.extent.sorted_by, self.batch_size, job.seed, 0)
        for indices in islice(first, self.step):
            self._seen[indices] = True
        self.batches = batches_from(self.extent.sorted_by, self.batch_size, job.seed, self.step)

    @property
    def is_over(self) -> bool:
        return self.failure is not None or self.step >= self.plan.total_steps

    def update(self) -> None:
        """The optimizer's step with the gradients that are there, clipped; waits for nothing."""
        self.optimization.clip()
        self.optimization.update()
        self.train_state.optimizer.zero_grad(set_to_none=False)  # the gradients are views of the pack's

    def advance(self, indices: np.ndarray, loss: torch.Tensor, cost: CostAlone) -> None:
        """A step on these examples is made: count it, and what it would have taken alone. loss: their mean, not yet read."""
        self._unread.append(loss)
        lengths = np.minimum(self.split.lengths[indices], self.train_state.collator.max_tokens)
        tokens, new = self.extent.tokens(indices), int(lengths[~self._seen[indices]].sum())
        self._seen[indices] = True
        self.contended = self.contended or cost.contended
        self.gpu_seconds += cost.fixed_seconds if self.step == 0 else 0.0
        self.gpu_seconds += cost.seconds_per_token * tokens + cost.frozen_seconds_per_token * new
        self.step += 1
        if self.step % LOOK_EVERY == 0 or self.step == self.plan.total_steps:
            self._read()

    def keep(self) -> None:
        """Save a checkpoint where the stable phase ends, and when the last one is old."""
        at_stable_end = self.step == self.plan.stable_steps
        is_late = time.monotonic() - self.saved_at > self.job.checkpoint_seconds
        if self.step == self.saved_step or not (at_stable_end or is_late):
            return
        self._read()
        if self.failure is None:
            self._save()
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _read(self) -> None:
        try:
            self._look(self._unread)
        except SetupFailed as error:
            self.failure = str(error)


class Pack:
    """The members that are trained together now. cost: by which each one's is imputed."""

    def __init__(self, members: Sequence[Member], cost: CostAlone) -> None:
        self.members, self.cost = list(members), cost
        one = self.members[0]
        self.model, self.plain, self.device = one.train_state.model, one.train_state.plain, one.train_state.device
        self.split, self.collator, self.source, self.rows = one.split, one.train_state.collator, one.source, one.batch_size
        self.targets, self.extent, self.unmasked = one.targets, one.extent, one.train_state.unmasked
        self.shapes = cuda_graphs.Shapes((), {})
        self.graphs: cuda_graphs.Graphs | None = None

    def run(self) -> list[Member]:
        """Train until some have to leave; these, who are no members any more. They have ended, or have failed."""
        self.model.train()
        with packed(self.plain, [member.train_state.adapter for member in self.members]), self.capture_steps():
            while True:
                for member in self.members:
                    member.keep()
                leaving = [member for member in self.members if member.is_over]
                if leaving:
                    break
                self.step()
        self.graphs = None
        self.members = [member for member in self.members if not member.is_over]
        return leaving

    def step(self) -> None:
        """One optimizer step of every member."""
        chosen = [next(member.batches) for member in self.members]
        for member in self.members:
            member.train_state.set_rate(member.plan.rate_factor(member.step))
        form = self.shapes.fit(*self.extent(chosen))
        batch = self.batch(chosen, form)
        counts = torch.tensor([max(1, int(self.targets[indices].sum())) for indices in chosen])
        if self.graphs is None:
            losses = self.whole_step([batch.to(self.device)], counts.to(self.device))[0]
        else:
            seen = self.collator.task_type.seen(batch)
            losses = self.graphs([seen], counts.float(), form)[0].clone()  # the next step writes there
        for member, own, loss in zip(self.members, chosen, losses, strict=True):
            member.advance(own, loss, self.cost)

    def batch(self, chosen: Sequence[np.ndarray], form: cuda_graphs.Form) -> Batch:
        """The members' batches under each other."""
        if not self.extent.end_to_end:
            batch = batch_of(self.split, self.collator, chosen, self.rows, *form)
            return without_mask(batch) if self.unmasked else batch
        width, places = form
        own = [self.collator.batch(self.split, indices) for indices in chosen]
        laid = [end_to_end(batch, width, self.extent.longest, self.rows) for batch in own]
        return with_places(under_each_other(laid), places, len(chosen))

    def whole_step(self, parts: Sequence[Batch], counts: torch.Tensor) -> list[torch.Tensor]:
        """Every member's step on its rows of one batch; their mean losses, shape (k,). counts: the targets of each."""
        (batch,) = parts
        if self.source is not None:
            batch = replace(batch, activations=self.source.compute(batch))
        logits = forward(self.model, batch, None if self.source is None else self.source.frozen_layers)
        k = len(self.members)
        sums = [
            self.collator.task_type.loss(ours, own, float(member.train_state.choices["label_smoothing"] or 0.0))[0]
            for member, ours, own in zip(
                self.members, by_rows(logits, lambda every: every.chunk(k)), batch.chunks(k), strict=True
            )
        ]
        losses = torch.stack(sums) / counts
        losses.sum().backward()
        for member in self.members:
            member.update()
        return [losses.detach()]

    def capture_steps(self) -> contextlib.AbstractContextManager[None]:
        if any(cuda_graphs.unsupported_reason(member.train_state) is not None for member in self.members):
            return contextlib.nullcontext()
        steps = min(member.plan.total_steps - member.step for member in self.members)
        ahead = [batches_ahead(self.extent.sorted_by, self.rows, m.job.seed, m.step, steps) for m in self.members]
        together = list(zip(*ahead, strict=True))
        self.shapes = cuda_graphs.plan_shapes(together, self.extent, steps)
        self.graphs = cuda_graphs.Graphs(self.whole_step, self.shapes, self.device)
        return cuda_graphs.own_stream(self.device)


def batch_of(
    split: Split, collator: Collator, chosen: Sequence[np.ndarray], rows: int, width: int = 0, places: int = 0
) -> Batch:
    """The members' batches under each other; of each, logits of as many `places` where they are not all wanted.

    A batch of fewer rows is filled up with copies of its first, of which no target counts.
    """
    filled = np.concatenate([np.concatenate([some, np.repeat(some[:1], rows - len(some))]) for some in chosen])
    batch = collator.batch(split, filled, width)
    fillers = np.concatenate([np.arange(rows) >= len(some) for some in chosen])
    batch.targets[torch.from_numpy(fillers)] = math.nan if batch.targets.is_floating_point() else IGNORED
    if batch.kept is not None:
        batch = replace(batch, kept=batch.kept[~torch.from_numpy(fillers)[batch.kept // batch.width]])
    return with_places(batch, places, len(chosen))
