"""AdaLoRA: low-rank updates in SVD form, whose ranks are allocated while training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar
from peftcost.methods.layers import TOP_LAYERS
from peftcost.methods.peft_method import PeftMethod, adaptable_names

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PreTrainedModel

INITIAL_SHARE, FINAL_SHARE = 0.1, 0.3
"""Shares of the steps with all ranks, and with the final ranks; between them the budget falls with a cubic (eq. 13)."""
SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class AdaLora(PeftMethod):
    """Starts at 1.5 times the target rank, as the paper does (section 4). Needs its length beforehand.

    Rates as for LoRA or somewhat above (the paper's table 8: 5e-4 to 2e-3).
    """

    name = "adalora"
    trains = "low-rank updates whose ranks are allocated by importance, and the head"
    citation = "Zhang et al. 2023, AdaLoRA, arXiv:2303.10512"
    default = True
    priority = 40
    fixed_horizon = True
    saves_other_shapes = True

    def space(self) -> dict[str, BaseDistribution]:
        return {
            "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
            "rank": CategoricalDistribution((4, 8, 16)),
            "top_layers": TOP_LAYERS,
        }

    def prior(self) -> dict[str, Scalar]:
        return {"learning_rate": 2e-3, "rank": 8, "alpha_over_rank": 4, "orthogonality": 0.1, "top_layers": None}

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        from peft import AdaLoraConfig

        rank = int(choices["rank"] or 1)
        return AdaLoraConfig(
            init_r=max(rank + 1, round(1.5 * rank)),
            target_r=rank,
            lora_alpha=int(float(choices["alpha_over_rank"] or 1) * rank),
            tinit=int(INITIAL_SHARE * total_steps),
            tfinal=int(FINAL_SHARE * total_steps),
            deltaT=1,
            total_step=max(2, total_steps),
            orth_reg_weight=float(choices["orthogonality"] or 0.0),
            target_modules=adaptable_names(model, choices["top_layers"]),
            **self.with_head(model),
        )

    def apply(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> torch.nn.Module:
        """PEFT (0.21) makes the counts of ranks trainable where it casts them to a bf16 base's type: they are counts."""
        adapted = super().apply(model, choices, total_steps)
        for name, parameter in adapted.named_parameters():
            if ".ranknum." in name:
                parameter.requires_grad_(False)
        return adapted

    def after_step(self, model: torch.nn.Module, step: int) -> None:
        """To the very end: else ranks never shrink, or pruned ranks come back in the saved adapter.

        A gradient that overflowed, of a step that the scaler of fp16 skipped, counts as none: it would stay in the means of
        the importance, by which no rank is pruned that has none. A layer that a text does not pass through (LUKE's for
        entities) has no gradient at all, and no importance."""
        for name, parameter in model.named_parameters():
            if "lora_" not in name or not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = parameter.new_zeros(parameter.shape)
            parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
        model.base_model.update_and_allocate(step)  # type: ignore[operator, union-attr]

    def penalty(self, model: torch.nn.Module) -> torch.Tensor | None:
        """Keeps both sides of the SVD orthogonal (section 3.1): mean of |P P^T - I| over the factors."""
        import torch

        factors = [p for name, p in model.named_parameters() if ".lora_A." in name or ".lora_B." in name]
        weight = _config(model).orth_reg_weight
        if not factors or weight == 0:
            return None
        norms = []
        for factor in factors:
            square = factor @ factor.T if factor.shape[0] < factor.shape[1] else factor.T @ factor
            norms.append(torch.linalg.norm(square - torch.eye(len(square), device=square.device)))
        return weight * torch.stack(norms).mean()

    def state(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Importance scores of the rank allocator, and the ranks that are kept."""
        import torch

        allocator = _allocator(model)
        found = {f"{score}/{name}": t for score in SCORES for name, t in getattr(allocator, score).items()}
        for name, kept in (_config(model).rank_pattern or {}).items():
            found[f"kept/{name}"] = torch.tensor(kept, dtype=torch.uint8)
        return found

    def load_state(self, model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
        allocator, pattern = _allocator(model), {}
        device = next(model.parameters()).device
        allocator.reset_ipt()
        for key, tensor in state.items():
            kind, _, name = key.partition("/")
            if kind == "kept":
                pattern[name] = tensor.bool().tolist()
            else:
                getattr(allocator, kind)[name] = tensor.to(device)
        _config(model).rank_pattern = pattern or None


def _allocator(model: torch.nn.Module) -> Any:
    return model.base_model.rankallocator  # type: ignore[union-attr]


def _config(model: torch.nn.Module) -> Any:
    return model.peft_config["default"]  # type: ignore[index]
