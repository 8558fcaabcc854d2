"""What the methods share that train parts of the model itself and save it whole, as transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from peftcost.methods.base import Method
from peftcost.methods.layers import trained_tensors

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


TRAINED = "trained.safetensors"
"""The trained tensors alone, by name, in the types that they are held in."""
IN_BF16 = "in_bf16.json"
"""Names of the parameters that are held in bf16, where some are. In its files, transformers calls those of some models (ViT)
by other names, and it loads all in one type."""


class PlainMethod(Method):
    """Saves a plain transformers model, or of it the tensors that are trained; merging changes nothing."""

    def save(self, model: torch.nn.Module, folder: Path) -> None:
        import torch

        cast("PreTrainedModel", model).save_pretrained(folder)
        in_bf16 = [name for name, parameter in model.named_parameters() if parameter.dtype == torch.bfloat16]
        if in_bf16:
            (folder / IN_BF16).write_text(json.dumps(in_bf16), encoding="utf-8")

    def save_trained(self, model: torch.nn.Module, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file(trained_tensors(model), folder / TRAINED)

    def load(self, base: PreTrainedModel, folder: Path) -> torch.nn.Module:
        import torch
        from safetensors.torch import load_file

        if (folder / TRAINED).exists():
            whole = cast("torch.nn.Module", base)
            for name, tensor in load_file(folder / TRAINED, device=str(base.device)).items():
                whole.get_parameter(name).data = tensor
            return whole.eval()
        model = cast("torch.nn.Module", type(base).from_pretrained(folder, dtype=torch.float32))
        parameters = dict(model.named_parameters())
        for name in names_in_bf16(folder) & parameters.keys():
            parameters[name].data = parameters[name].data.to(torch.bfloat16)
        return model.to(base.device).eval()

    def merge(self, model: torch.nn.Module) -> PreTrainedModel:
        return cast("PreTrainedModel", model)


def names_in_bf16(folder: Path) -> set[str]:
    """What a saved model holds in bf16; of an older folder, by the names in transformers' files."""
    from safetensors import safe_open

    if (folder / IN_BF16).exists():
        return set(json.loads((folder / IN_BF16).read_text(encoding="utf-8")))
    found: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as saved:
            found |= {name for name in saved.keys() if saved.get_slice(name).get_dtype() == "BF16"}  # noqa: SIM118
    return found
