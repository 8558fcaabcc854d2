"""Published GPU memory, predicted without the GPU: PEFT's own method comparison.

python benchmarks/published.py     about a minute. Writes results/published.json.

The figures are `accelerator_memory_max` of huggingface/peft, method_comparison/MetaMathQA/results, commit 5d602fd
(2026-08-21, Apache-2.0): Llama-3.2-3B in bfloat16, batch 4, at most 768 tokens, AdamW, one L40S. They are what PyTorch's
allocator had reserved at most, evaluations with a batch of 50 included; predicted is the peak of live tensors in a step
on the widest batch that the settings allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from machine import write_result
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftConfig
from transformers import LlamaConfig, PreTrainedModel

from peftcost.core.setup import WEIGHTS, Scalar, Setup
from peftcost.engine.step_estimate import Shape, estimate_step
from peftcost.methods import get_method
from peftcost.methods.base import Method
from peftcost.methods.lora import Lora
from peftcost.tasks.targets import Targets, Tokens
from peftcost.tasks.token_classification import TokenClassification

TOKENS = 768
LLAMA_3_2_3B = LlamaConfig(
    vocab_size=128256,
    hidden_size=3072,
    intermediate_size=8192,
    num_hidden_layers=28,
    num_attention_heads=24,
    num_key_value_heads=8,
    head_dim=128,
    max_position_embeddings=131072,
    tie_word_embeddings=True,
    pad_token_id=0,
)


class NextToken(TokenClassification):
    """A target for each token, from a language model's own head."""

    auto_model = "AutoModelForCausalLM"
    fresh_head = False

    def model_options(self, targets: Targets) -> dict[str, Any]:
        return {}


class Published(Lora):
    """One of PEFT's configurations as it stands."""

    def __init__(self, config: PeftConfig) -> None:
        self.published = config

    def config(self, model: PreTrainedModel, choices: Mapping[str, Scalar], total_steps: int) -> PeftConfig:
        return self.published


def lora(rank: int, **more: Any) -> Published:
    return Published(LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, **more))


METHODS: dict[str, tuple[Method, int]] = {
    "full": (get_method("full"), 38868615168),
    "lora rank 32": (lora(32), 22292725760),
    "lora rank 64": (lora(64), 22552772608),
    "lora rank 32, dora": (lora(32, use_dora=True), 24532484096),
    "lora rank 10, mlp": (lora(10, target_modules=["gate_proj", "up_proj", "down_proj"]), 24698159104),
    "adalora rank 32": (
        Published(AdaLoraConfig(task_type="CAUSAL_LM", init_r=64, target_r=32, total_step=5000)),
        22781362176,
    ),
    "ia3": (Published(IA3Config(task_type="CAUSAL_LM")), 23234347008),
}


def main() -> None:
    rows = []
    choices = Setup.of("lora", {"learning_rate": 1e-4, WEIGHTS: "bf16"}, 1).hyperparameters
    for name, (method, published) in METHODS.items():
        shape = Shape(4, TOKENS)
        found = estimate_step(LLAMA_3_2_3B, NextToken(), method, choices, shape, Tokens())
        ratio = found.peak_bytes / published
        rows.append(
            {
                "method": name,
                "published_bytes": published,
                "predicted_bytes": found.peak_bytes,
                "ratio": ratio,
                "trainable_parameters": found.trainable_parameters,
                "parts": found.parts,
            }
        )
        print(f"{name:20} published {published / 1e9:.1f} GB, predicted {found.peak_bytes / 1e9:.1f} GB, ratio {ratio:.2f}")
    off = [abs(row["ratio"] - 1) for row in rows]
    write_result(
        "published", {"tokens": TOKENS, "median_error": float(np.median(off)), "worst_error": max(off), "rows": rows}
    )


if __name__ == "__main__":
    main()
