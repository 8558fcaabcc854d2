"""Cuts a model in two: the first layers, which a setup leaves untouched, and the rest, which it trains.

No architecture is named. The layers are the model's list of layers, and what comes before them is found by watching one
small forward pass; a model that does not give the same outputs in two halves is not cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from peftcost.methods.layers import transformer_layers
from peftcost.tasks.batch import Batch

SAME, SAME_IN_HALF = 1e-4, 3e-2
"""Largest difference, relative to the largest number, at which two outputs count as the same; in half precision on a GPU,
whose kernels differ with the batch."""


class _Reached(Exception):
    """The frozen layers have done their work; what would follow is not wanted."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class FrozenLayers:
    """What comes before the layers and the first `depth` of them, always in eval mode and without gradients.

    run: their activations. given: a context in which the whole model takes these as computed. width: numbers per token.
    """

    def __init__(self, model: torch.nn.Module, depth: int, two_rows: Batch) -> None:
        """two_rows: of different length, to try them on.

        LookupError or ValueError if this model's layers do not hand on one tensor of shape (rows, tokens, width)."""
        self.model, self.depth = model, depth
        self.layers = list(transformer_layers(model)[1][:depth])
        self._given: torch.Tensor | None = None
        self._stops = False
        self.two_rows = two_rows
        with _watched(self.layers[0]) as seen, torch.no_grad():
            model(**two_rows.inputs)
        self._before = _outermost_giving(model, seen)
        self._modules = [*([self._before] if self._before is not None else []), *self.layers]
        for module in self._modules:
            self._redirect(module)
        hidden = self.run(two_rows.inputs)
        if hidden.ndim == 3 and "attention_mask" not in two_rows.inputs:  # inputs of one size: all positions are real
            self.two_rows = two_rows = replace(two_rows, width=hidden.shape[1])
        if hidden.shape[:2] != (two_rows.rows, two_rows.width) or hidden.ndim != 3:
            raise ValueError(f"the layers hand on a tensor of shape {tuple(hidden.shape)}, not (rows, tokens, width)")
        self.width, self.dtype = hidden.shape[2], hidden.dtype

    def run(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The activations after the last layer of the frozen layers, shape (rows, tokens, width)."""
        training = [module for module in self.model.modules() if module.training]
        for module in training:  # not the layers alone: some models drop out between embeddings and layers
            module.training = False
        self._stops = True
        try:
            with torch.no_grad():
                self.model(**inputs)
        except _Reached as reached:
            return reached.hidden
        finally:
            self._stops = False
            for module in training:
                module.training = True
        raise ValueError("the model's forward pass does not reach its layers")

    @contextlib.contextmanager
    def given(self, hidden: torch.Tensor) -> Iterator[None]:
        """Within this context the model's forward pass computes the rest only, from these activations."""
        self._given = hidden.to(self.dtype)
        try:
            yield
        finally:
            self._given = None

    def halves(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of two short rows of different length, by the whole and by the two halves, with zeros for what the frozen
        layers give behind a row's end: that is how activations are kept."""
        inputs = self.two_rows.inputs
        with torch.no_grad():
            whole = self.model(**inputs).logits.float()
            with self.given(self.run(inputs) * self._real[..., None]):
                return whole, self.model(**inputs).logits.float()

    def is_faithful(self, tolerance: float = SAME) -> bool:
        """Whether the two halves give what the whole gives, and the frozen layers give the same for a row alone as for one in
        a batch."""
        was_training = self.model.training
        self.model.eval()
        try:
            whole, halves = self.halves()
        finally:
            self.model.train(was_training)
        inputs, mask = self.two_rows.inputs, self._real
        short = int(mask[1].sum())
        ragged = "attention_mask" in inputs
        alone = self.run({name: tensor[1:, :short] if ragged else tensor[1:] for name, tensor in inputs.items()})
        beside = self.run(inputs)[1:, :short]
        real = mask.bool() if whole.ndim == 3 else slice(None)
        return alike(whole[real], halves[real], tolerance) and alike(beside.float(), alone.float(), tolerance)

    @property
    def _real(self) -> torch.Tensor:
        """1 where the two rows have activations, 0 where one is padded; shape (rows, width)."""
        mask = self.two_rows.inputs.get("attention_mask")
        if mask is None:
            device = next(iter(self.two_rows.inputs.values())).device
            return torch.ones(self.two_rows.rows, self.two_rows.width, dtype=torch.long, device=device)
        return mask

    def _redirect(self, module: torch.nn.Module) -> None:
        """Let the module hand on what is given, and stop after the last of the frozen layers where only they are wanted."""
        original: Callable[..., Any] = module.forward
        others: int | None = None  # how many a tuple has beside the activations; None when it is no tuple

        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal others
            if self._given is not None:
                return self._given if others is None else (self._given, *[None] * others)
            out = original(*args, **kwargs)
            others = len(out) - 1 if isinstance(out, tuple) else None
            if self._stops and module is self.layers[-1]:
                raise _Reached(_only_tensor(out))
            return out

        module.forward = forward


def cut(
    model: torch.nn.Module, depth: int, two_rows: Batch, check: bool = True, tolerance: float = SAME
) -> FrozenLayers | None:
    """The lowest layers up to this depth, or None when there is nothing to cut or the model does not work in halves.

    two_rows: a batch of two rows of different length, on the model's device. check: compare the outputs;
    a model without weights can only be run.
    """
    if depth == 0:
        return None
    plain_forwards = [(module, module.__dict__.get("forward")) for module in model.modules()]
    try:
        frozen_layers = FrozenLayers(model, depth, two_rows)
        if not check:
            frozen_layers.halves()
        if not check or frozen_layers.is_faithful(tolerance):
            return frozen_layers
    except (LookupError, ValueError, TypeError, RuntimeError, AttributeError):
        pass  # it trains as a whole
    for module, forward in plain_forwards:
        module.__dict__.pop("forward", None)
        if forward is not None:
            module.forward = forward
    return None


def alike(one: torch.Tensor, other: torch.Tensor, tolerance: float = SAME) -> bool:
    """Whether two outputs count as the same."""
    return bool((one - other).abs().max() <= tolerance * one.abs().max())


def _only_tensor(out: Any) -> torch.Tensor:
    if isinstance(out, tuple):
        if any(part is not None for part in out[1:]):
            raise ValueError("the layers hand on more than one tensor")
        out = out[0]
    if not isinstance(out, torch.Tensor):
        raise ValueError(f"the layers hand on {type(out).__name__}")
    return out


@contextlib.contextmanager
def _watched(first_layer: torch.nn.Module) -> Iterator[dict[str, Any]]:
    """Notes what the first layer is given, under "hidden"."""
    seen: dict[str, Any] = {"outputs": []}

    def note_input(_: torch.nn.Module, args: Any, kwargs: Any) -> None:
        seen["hidden"] = args[0] if args else kwargs.get("hidden_states")

    def note_output(module: torch.nn.Module, _: Any, out: Any) -> None:
        if "hidden" not in seen:  # only what comes before the layers
            seen["outputs"].append((module, out))

    handles = [
        first_layer.register_forward_pre_hook(note_input, with_kwargs=True),
        torch.nn.modules.module.register_module_forward_hook(note_output),
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _outermost_giving(model: torch.nn.Module, seen: dict[str, Any]) -> torch.nn.Module | None:
    """The module whose output is what the first layer is given, if there is one: the embeddings, then not computed when
    activations are given. Without one they are computed in vain."""
    giving = [module for module, out in seen["outputs"] if out is seen.get("hidden")]
    return giving[-1] if giving else None
