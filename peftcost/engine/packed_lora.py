"""Several LoRA adapters over one pass of a base: layers that compute all of them at once, each on its own rows.

PEFT holds the adapters, as it holds one, and keeps their names. Here their tensors are only laid beside each other in memory:
PEFT's parameters and their gradients become views of one tensor a layer, which `torch.bmm` takes whole. So optimizers,
checkpoints, artifacts and evaluation see nothing but PEFT's parameters. Ranks are padded with zeros to the largest; nobody
updates the padding, and what it adds to a sum is 0.

A batch's rows come in k equal groups, one after the other, in the order of the adapters. Shapes are static and nothing waits
for the device, so a step can be captured in a CUDA graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.other import ModulesToSaveWrapper


class PackedLora(torch.nn.Module):
    """A linear layer with k adapters: the base once for all rows, and each adapter's update for its group of rows.

    layer: PEFT's. The base may be quantized: it is only called.
    """

    def __init__(self, layer: LoraLayer, adapters: Sequence[str]) -> None:
        super().__init__()
        self.layer, self.k = layer, len(adapters)
        self.a = side_by_side([layer.lora_A.get_parameter(f"{name}.weight") for name in adapters])
        self.b = side_by_side([layer.lora_B.get_parameter(f"{name}.weight") for name in adapters], transposed=True)
        self.scale = per_group([layer.scaling[name] for name in adapters], self.a)
        rates = [float(getattr(layer.lora_dropout[name], "p", 0.0)) for name in adapters]  # Identity where there is none
        self.dropout = per_group(rates, self.a) if any(rates) else None

    @property
    def weight(self) -> torch.Tensor:
        """The base's: some architectures ask a layer for its precision."""
        return self.layer.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.layer.base_layer(x)
        rows = x.reshape(self.k, -1, x.shape[-1])
        if not torch.is_autocast_enabled(x.device.type):
            rows = rows.to(self.a.dtype)
        if self.dropout is not None and self.training:
            rows = self._dropped(rows, self.dropout)
        update = torch.bmm(torch.bmm(rows, self.a.mT) * self.scale, self.b)
        return result + update.reshape(result.shape).to(result.dtype)

    def _dropped(self, rows: torch.Tensor, rates: torch.Tensor) -> torch.Tensor:
        kept = torch.rand_like(rows, dtype=rates.dtype) >= rates
        return rows * (kept / (1.0 - rates)).to(rows.dtype)


class PackedHead(torch.nn.Module):
    """The k copies of a module that PEFT trains whole, each on its group of rows."""

    def __init__(self, wrapper: ModulesToSaveWrapper, adapters: Sequence[str]) -> None:
        super().__init__()
        self.heads = torch.nn.ModuleList(wrapper.modules_to_save[name] for name in adapters)
        for parameter in self.heads.parameters():
            parameter.requires_grad_(True)  # PEFT freezes those of adapters that are not active

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        groups = hidden.chunk(len(self.heads))
        return torch.cat([head(group, *args, **kwargs) for head, group in zip(self.heads, groups, strict=True)])


@contextlib.contextmanager
def packed(model: torch.nn.Module, adapters: Sequence[str]) -> Iterator[None]:
    """A context in which the PEFT model computes these adapters together. Outside of it, PEFT's own layers compute the one
    that is active, from the same parameters. Gradients are to be zeroed in place: they are views, too."""
    kinds: dict[type[Any], Any] = {LoraLayer: PackedLora, ModulesToSaveWrapper: PackedHead}
    places = [(name, m, kinds[kind]) for name, m in model.named_modules() for kind in kinds if isinstance(m, kind)]
    try:
        for name, module, packed_form in places:
            model.set_submodule(name, packed_form(module, adapters))
        yield
    finally:
        for name, module, _ in places:
            model.set_submodule(name, module)


def keeps_rows_apart(plain: torch.nn.Module, adapters: Sequence[str], logits: Callable[[], torch.Tensor]) -> bool:
    """Whether each adapter's layers see its own group of rows alone, whatever the architecture makes of a batch on the way:
    DeBERTa projects relative positions, which belong to no row; Longformer and XLNet put tokens before rows.

    Tried by gradients: the first group's logits may depend on the first adapter alone. adapters: two of them; logits: calls
    the model on a batch of two rows.
    """
    was_training = plain.training
    plain.eval()
    try:
        with packed(plain, adapters):
            updates = [module.b for module in plain.modules() if isinstance(module, PackedLora)]
            gradients = torch.autograd.grad(logits()[0].float().sum(), updates, allow_unused=True)
    except RuntimeError:  # rows that cannot be parted into equal groups
        return False
    finally:
        plain.train(was_training)
    return not any(gradient is not None and gradient[1:].any() for gradient in gradients)


def side_by_side(parameters: Sequence[torch.nn.Parameter], transposed: bool = False) -> torch.Tensor:
    """One leaf tensor of shape (k, largest rank, width) that the parameters and their gradients become views of.

    A parameter has the shape (rank, width), or (width, rank) where it is to be transposed.
    """

    def turned(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.mT if transposed else tensor

    shapes = [turned(parameter).shape for parameter in parameters]
    together = parameters[0].detach().new_zeros(len(parameters), max(rank for rank, _ in shapes), shapes[0][1])
    together.grad = torch.zeros_like(together)
    for parameter, (rank, _), values, gradient in zip(parameters, shapes, together, together.grad, strict=True):
        place = turned(values[:rank])
        place.copy_(parameter.detach())
        parameter.data, parameter.grad = place, turned(gradient[:rank])
    return together.requires_grad_()


def per_group(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """One number for each group of rows, shape (k, 1, 1)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
