"""What the methods share that train parts of the model itself and save it whole, as transformers does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from peftcost.methods.base import Method

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class PlainMethod(Method):
    """Saves a plain transformers model; merging changes nothing."""

    def save(self, model: torch.nn.Module, folder: Path) -> None:
        cast("PreTrainedModel", model).save_pretrained(folder)

    def load(self, base: PreTrainedModel, folder: Path) -> torch.nn.Module:
        model = type(base).from_pretrained(folder, dtype=base.dtype)
        return cast("torch.nn.Module", model).to(base.device).eval()

    def merge(self, model: torch.nn.Module) -> PreTrainedModel:
        return cast("PreTrainedModel", model)
