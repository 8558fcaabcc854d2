"""The training step: the only one. Training, its CUDA graphs, estimates and calibration all call it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from peftcost.core.setup import Scalar
from peftcost.engine import ranks
from peftcost.methods import Method
from peftcost.tasks import TaskType
from peftcost.tasks.batch import Batch


@dataclass(frozen=True)
class Step:
    """Gradients of the mean loss over a batch's targets, clipped, and the optimizer's update.

    model: as prepared by Accelerate; plain: the same without its wrappers. forward: logits of a micro-batch. accelerator:
    scales gradients; None where there is nothing to scale. on_phase: told of
    "forward", "backward" and "optimizer".
    """

    model: torch.nn.Module
    plain: torch.nn.Module
    trained: Sequence[torch.nn.Parameter]
    forward: Callable[[Batch], torch.Tensor]
    optimizer: torch.optim.Optimizer
    method: Method
    choices: Mapping[str, Scalar]
    task_type: TaskType
    accelerator: Accelerator | None = None
    on_phase: Callable[[str], None] = lambda phase: None

    def gradients(self, parts: Iterable[Batch], n_targets: int | torch.Tensor, n_examples: int) -> torch.Tensor:
        """Add up the gradients of a batch, one micro-batch after the other and over the ranks, and clip them; the mean loss,
        shape (), of several ranks this one's part of it.

        parts: this rank's micro-batches on the device. n_targets, n_examples: of the whole batch, over all ranks.
        """
        mean_loss: torch.Tensor | float = 0.0
        for part in parts:
            self.on_phase("forward")
            loss = self.loss(part) / n_targets
            penalty = self.method.penalty(self.plain)
            total = loss if penalty is None else loss + penalty * (part.examples / n_examples)
            del penalty
            self.on_phase("backward")
            self._backward(total)
            mean_loss = mean_loss + loss.detach()
            del loss, total
        self.on_phase("optimizer")
        ranks.sum_gradients(self.trained)
        self.clip()
        return torch.as_tensor(mean_loss, device=self.trained[0].device)

    def loss(self, part: Batch) -> torch.Tensor:
        """Summed cross entropy of a micro-batch, from logits: the model's own loss may hold other terms."""
        smoothing = float(self.choices["label_smoothing"] or 0.0)
        return self.task_type.loss(self.forward(part), part, smoothing)[0]

    def clip(self) -> None:
        """Scale the gradients down to the setup's largest norm."""
        clip = torch.nn.utils.clip_grad_norm_ if self.accelerator is None else self.accelerator.clip_grad_norm_
        clip(self.trained, float(self.choices["max_grad_norm"] or math.inf))

    def update(self) -> None:
        """The optimizer's step; in fp16, whose gradients are scaled, if they are finite."""
        scaler = None if self.accelerator is None else self.accelerator.scaler
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()

    def clear(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def _backward(self, total: torch.Tensor) -> None:
        if self.accelerator is None:
            total.backward()
        else:
            self.accelerator.backward(total)
