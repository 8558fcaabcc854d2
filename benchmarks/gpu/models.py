"""Bases of the GPU benchmarks: MiniLM as it is, and shapes of Llama and of ViT with random weights, made once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers

from benchmarks.gpu.sizes import Size
from peftcost.data.builtin import builtin_model
from peftcost.data.features import Column, Split, ragged
from peftcost.engine.dataset import DatasetInfo
from peftcost.tasks.targets import Classes

LABELS = ["a", "b", "c"]
CLASSES = Classes(tuple(LABELS))
ROWS = 256
LLAMA = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True, "pad_token_id": 0}


def llama_1b() -> transformers.LlamaConfig:
    """The shape of Llama-3.2-1B."""
    return transformers.LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        max_position_embeddings=4096,
        **LLAMA,
    )


def llama_135m() -> transformers.LlamaConfig:
    """The shape of SmolLM2-135M."""
    shape = {**LLAMA, "num_attention_heads": 9, "num_key_value_heads": 3}
    return transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, max_position_embeddings=2048, **shape
    )


def vit(width: int) -> transformers.ViTConfig:
    """The shape of ViT-tiny (192) or ViT-base (768), whose heads have 64 of the hidden width."""
    return transformers.ViTConfig(hidden_size=width, intermediate_size=4 * width, num_attention_heads=width // 64)


CONFIGS: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    "llama-1b": llama_1b,
    "llama-135m": llama_135m,
    "vit-tiny": partial(vit, 192),
    "vit-base": partial(vit, 768),
}


def folder_of(model: str) -> Path:
    """The model's folder; random weights are saved in bf16."""
    if model == "minilm":
        return builtin_model("minilm")
    folder = Path(tempfile.gettempdir()) / f"peftcost-{model}"
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(device):
            made = transformers.AutoModel.from_config(CONFIGS[model](), dtype=torch.bfloat16)
        made.save_pretrained(folder)
    return folder


def dataset_info_of(size: Size) -> DatasetInfo:
    """A task of three classes on this base."""
    return DatasetInfo(
        model=str(folder_of(size.model)),
        task="text-classification",
        metric="accuracy",
        targets=CLASSES,
        padding={"input_ids": 0},
        max_positions=512,
        max_length=size.tokens,
    )


def random_rows(size: Size) -> Split:
    """Rows of random tokens, of all lengths from half to full: rows of a batch differ, else transformers would drop masks."""
    random = np.random.default_rng(0)
    lengths = [size.tokens - i * size.tokens // (2 * ROWS) for i in range(ROWS)]
    ids = [random.integers(1000, 20000, length).tolist() for length in lengths]
    columns = {"input_ids": ragged(ids), "targets": Column(np.arange(ROWS, dtype=np.int32) % len(LABELS))}
    return Split(columns, np.array(lengths))


def full_batch(size: Size) -> np.ndarray:
    """Examples whose longest has all tokens."""
    return np.arange(size.rows)
