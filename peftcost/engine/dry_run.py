"""Runs a base's forward pass on tensors without numbers, to learn what a CUDA graph could not hold, before any is captured.

What waits for the CPU, or copies from it, ends a capture, and after that its process can capture nothing more: it cannot be
tried out on the GPU. DeBERTa copies a number in each forward pass, GPT-Neo makes one on the device; experts may be chosen by
looking at the numbers.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from unittest import mock

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from peftcost.engine import varlen
from peftcost.engine.attention import EAGER, attention_of
from peftcost.engine.layout import arguments
from peftcost.engine.step_estimate import quiet
from peftcost.engine.varlen import VARLEN
from peftcost.tasks.batch import Batch

OF_A_TENSOR = (torch.Tensor.new_tensor,)
MAKES_TENSORS = (torch.tensor, torch.as_tensor, torch.asarray, *OF_A_TENSOR)
"""What copies numbers of the CPU to the device that it is told."""

Shaped = tuple[str, tuple[int, ...], torch.dtype]
"""An input's name, shape and type."""


class _WaitsForCpu(Exception):
    """The forward pass copies from one device to another."""


class _NoCopies(TorchDispatchMode):
    """Ends where tensors of two devices meet; single numbers of the CPU are handed to kernels by value."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::_to_copy", "aten::copy_"):
            tensors = [t for t in tree_leaves((args, out)) if isinstance(t, torch.Tensor)]
            if len({tensor.device.type for tensor in tensors}) > 1:
                raise _WaitsForCpu
        return out


class _NoNumbersMade(TorchFunctionMode):
    """Ends where Python's numbers become a tensor of the device (GPT-Neo's mask does): they are copied there, but no operator
    tells so to a dispatch mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = args[1:2] if func in OF_A_TENSOR else args[:1]
        of_numbers = not any(isinstance(one, torch.Tensor) for one in given)
        if func in MAKES_TENSORS and of_numbers and out.numel() and out.device.type != "cpu":
            raise _WaitsForCpu
        return out


def stays_on_device(config: transformers.PretrainedConfig, auto_model: str, batch: Batch) -> bool:
    """Whether the forward pass of the model of this configuration, on inputs like the batch's, runs on its device alone.

    False also where it cannot be run without numbers."""
    given = arguments(batch)
    inputs = tuple((name, tuple(x.shape), x.dtype) for name, x in given.items() if isinstance(x, torch.Tensor))
    numbers = tuple((name, x) for name, x in given.items() if not isinstance(x, torch.Tensor))
    attention = attention_of(config)
    kind: Any = type(config)  # to mypy, classes with a metaclass have no hash
    if batch.end_to_end is not None:
        attention = VARLEN  # also in the place of flash-attention, which is told in the same words
    own = attention if attention in (EAGER, VARLEN) else None
    return _stays_on_device(kind, config.to_json_string(), auto_model, inputs, numbers, own)


@lru_cache(maxsize=16)
def _stays_on_device(
    kind: Any,
    as_json: str,
    auto_model: str,
    inputs: tuple[Shaped, ...],
    numbers: tuple[tuple[str, int], ...],
    attention: str | None,
) -> bool:
    options = json.loads(as_json)
    options.pop("quantization_config", None)
    how = {} if attention is None else {"attn_implementation": attention}
    device = torch.device("meta")  # any but the CPU, and there without a GPU
    with quiet(), torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        try:
            with device:
                model = getattr(transformers, auto_model).from_config(kind.from_dict(options), dtype=torch.float32, **how)
                tensors = {name: torch.ones(shape, dtype=dtype) for name, shape, dtype in inputs}
            with _NoCopies(), _NoNumbersMade(), all_told(told=bool(numbers)):
                model.eval()(**tensors, **dict(numbers))
        except Exception:  # whatever a stranger's model does: it is trained eagerly
            return False
    return True


@contextlib.contextmanager
def all_told(told: bool) -> Iterator[None]:
    """A context in which every layer of a base that is told where texts end has to hand it on to its attention: where it does
    not, flash-attention looks for the ends itself, on the CPU."""

    def untold(*_: Any, **__: Any) -> Any:
        raise _WaitsForCpu

    with mock.patch.object(varlen, "sdpa_attention_forward", untold) if told else contextlib.nullcontext():
        yield
