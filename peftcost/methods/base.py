"""What a method is: a way to fine-tune a model.

A method's file says what it trains, its search space with sane priors, how it is applied, saved, loaded and merged,
and what it needs. It does not train: the engine does. torch and peft are imported inside the functions, so that
the controller can read search spaces without them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from optuna.distributions import BaseDistribution

from peftcost.core.setup import Scalar
from peftcost.errors import PeftcostError
from peftcost.methods.layers import layer_stacks, transformer_layers

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


class CannotMerge(PeftcostError):
    """This method's change cannot be folded into the base weights."""


class Method(ABC):
    """One way to fine-tune.

    name: what people type. trains: one phrase for `peftcost methods`. citation: the paper.
    default: one of the few that usually win, tried when the task names no methods.
    priority: who is measured first when the budget is short (lower first).
    fixed_horizon: needs the total number of steps beforehand, so its length is a choice and it is not promoted.
    quantization: how the base is loaded.
    trains_whole_base: nothing of the base is frozen.
    saves_other_shapes: matrices are cut when they are saved, so that sums are rounded otherwise once they are loaded.
    needs_fresh_head: its first setup has nothing to train where the base brings the task's head; it is then tried by name
    alone.
    """

    name: ClassVar[str]
    trains: ClassVar[str]
    citation: ClassVar[str]
    default: ClassVar[bool] = False
    priority: ClassVar[int] = 100
    fixed_horizon: ClassVar[bool] = False
    quantization: ClassVar[Literal["int8", "nf4"] | None] = None
    trains_whole_base: ClassVar[bool] = False
    needs_fresh_head: ClassVar[bool] = False
    saves_other_shapes: ClassVar[bool] = False

    @abstractmethod
    def space(self) -> dict[str, BaseDistribution]:
        """The choices that a search may vary, as Optuna distributions; training choices such as learning_rate too."""

    @abstractmethod
    def prior(self) -> dict[str, Scalar]:
        """The choices that are the best bet before anything was measured; one value for each key of `space`."""

    def unsupported_reason(self, config: PretrainedConfig, device_kind: str = "cpu") -> str | None:
        """Why this method cannot take a model of this configuration on this kind of device, or None.

        Only what is known without trying; the engine's probe finds the rest.
        """
        if self.quantization is not None and device_kind == "mps":
            return f"{self.name} needs bitsandbytes, which does not run on Apple GPUs (MPS); use lora"
        return None

    def virtual_tokens(self, choices: Mapping[str, Scalar]) -> int:
        """Positions that the method itself takes of the model's maximum length."""
        return 0

    def frozen_depth(self, model: torch.nn.Module, choices: Mapping[str, Scalar]) -> int:
        """How many of the base's layers, counted from below, stay untouched and deterministic.

        0: nothing can be taken as given. k > 0: embeddings and the first k layers give the same activations in every
        epoch and every setup; the engine keeps their dropout off. A method that places what it trains in the upper
        layers has a choice `top_layers` (None: all layers). Of an encoder with a decoder none are taken as given: the lower
        layers of the decoder see what the upper ones of the encoder have learnt.
        """
        top = choices.get("top_layers")
        return 0 if top is None or layer_stacks(model) else max(0, len(transformer_layers(model)[1]) - int(top))

    def penalty(self, model: torch.nn.Module) -> torch.Tensor | None:
        """A term that is added to the training loss (never to a loss that is reported), or None."""
        return None

    @abstractmethod
    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        """Return the model made ready: adapters added, `requires_grad` set on exactly what is trained.

        choices: a setup's hyperparameters (own and training choices). The task head is always trained.
        """

    def placed(self, model: torch.nn.Module) -> None:
        """Called once the model is on the device that it is trained on. A step must copy nothing from the CPU from now on,
        since a CUDA graph cannot hold that."""

    def after_step(self, model: torch.nn.Module, step: int) -> None:
        """Called after each optimizer.step() and before zero_grad(), with the number of steps done before it."""

    def state(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Tensors that a checkpoint needs beyond the trained parameters and the optimizer."""
        return {}

    def load_state(self, model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
        """Put back what `state` gave."""

    @abstractmethod
    def save(self, model: torch.nn.Module, folder: Path) -> None:
        """Write the artifact in the library's own format: a PEFT adapter, or a transformers model."""

    def save_trained(self, model: torch.nn.Module, folder: Path) -> None:
        """Write what `load` needs beside the base, which a search keeps of each setup; by default the artifact."""
        self.save(model, folder)

    @abstractmethod
    def load(self, base: PreTrainedModel, folder: Path) -> torch.nn.Module:
        """The model of a saved artifact, over a freshly loaded base, in eval mode; same outputs as when saved."""

    def merge(self, model: torch.nn.Module) -> PreTrainedModel:
        """A plain transformers model with the change folded in, or CannotMerge."""
        raise CannotMerge(f"{self.name} cannot be merged into the base weights; deploy base and adapter together.")
