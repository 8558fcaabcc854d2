"""What the methods share that PEFT applies, saves and merges."""

from __future__ import annotations

import json
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from peftcost.core.setup import Scalar
from peftcost.data.fingerprint import hub_snapshot
from peftcost.methods.base import CannotMerge, Method
from peftcost.methods.head import head_names
from peftcost.methods.layers import linear_names, peft_task_type

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PretrainedConfig, PreTrainedModel


MAMBAS = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Model types that multiply with weights of BYPASSED layers past the layers."""
BYPASSED = (".out_proj", ".dt_proj")
"""Where an adapter would change nothing, so that PEFT refuses one at the first."""


class PeftMethod(Method):
    """A method of PEFT. `merges` says whether PEFT can fold the adapter into the base."""

    merges: ClassVar[bool] = True

    def unsupported_reason(self, config: PretrainedConfig, device_kind: str = "cpu") -> str | None:
        if self.quantization is not None and config.model_type in MAMBAS:
            return f"{config.model_type} multiplies with weights past their layers, which needs them unquantized; use lora"
        return super().unsupported_reason(config, device_kind)

    @abstractmethod
    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        """PEFT's configuration of this method for this model."""

    def shared(self, model: PreTrainedModel) -> dict[str, Any]:
        """Arguments that every PEFT configuration takes."""
        return {"task_type": peft_task_type(model)}

    def with_head(self, model: PreTrainedModel) -> dict[str, Any]:
        """As `shared`, for configurations that train whole modules beside the adapter: the head."""
        return {**self.shared(model), "modules_to_save": head_names(model)}

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        from peft import get_peft_model, prepare_model_for_kbit_training

        if self.quantization is not None:
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        return get_peft_model(model, self.config(model, choices, total_steps))

    def save(self, model: torch.nn.Module, folder: Path) -> None:
        model.save_pretrained(folder)  # type: ignore[operator]
        name_base(folder / "adapter_config.json")

    def load(self, base: PreTrainedModel, folder: Path) -> torch.nn.Module:
        from peft import PeftModel

        return PeftModel.from_pretrained(base, folder).eval()

    def merge(self, model: torch.nn.Module) -> PreTrainedModel:
        """Folded in by PEFT; a quantized base is dequantized first, since rounding the sum loses a tenth of it."""
        if not self.merges:
            return super().merge(model)
        if self.quantization is not None:
            model = self._over_dequantized(model)
        try:
            return model.merge_and_unload()  # type: ignore[operator]
        except (AttributeError, NotImplementedError, ValueError) as error:
            raise CannotMerge(f"{self.name} cannot be merged into this model: {error}") from error

    def _over_dequantized(self, model: torch.nn.Module) -> torch.nn.Module:
        """The same adapter over its base in fp32: PEFT would round the merged weights again. (On a GPU, layers come out of
        4 bits in bf16, and the others are in fp32.)"""
        with tempfile.TemporaryDirectory(prefix="peftcost-merge-") as folder:
            self.save(model, Path(folder))
            base = model.unload()  # type: ignore[operator]
            base.dequantize().float()
            return self.load(base, Path(folder))


def adaptable_names(model: PreTrainedModel, top_layers: Scalar) -> list[str]:
    """Names of the linear layers that may have a low-rank update, of the top k transformer layers or of all (None)."""
    names = linear_names(model, top_layers)
    return [name for name in names if model.config.model_type not in MAMBAS or not name.endswith(BYPASSED)]


def name_base(config_file: Path) -> None:
    """Let an adapter's configuration name a base of the hub by its id and commit: PEFT writes where it lies in the cache of
    this machine."""
    config = json.loads(config_file.read_text(encoding="utf-8"))
    snapshot = hub_snapshot(Path(config["base_model_name_or_path"] or ""))
    if snapshot is not None:
        config["base_model_name_or_path"], config["revision"] = snapshot
        config_file.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
