"""Section `packing` of benchmarks/engine.py: a batch's rows laid end to end in one sequence, against the padded batch.

A causal model tags every token (`LlamaForTokenClassification`, random weights: they do not matter for seconds). In the
packed row positions start anew with each text, from which transformers makes the mask that keeps texts apart; attention then
pays for the whole row unless its kernel skips other texts (flash-attn's varlen does, SDPA does not).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from engine import spread
from engine_steps import REPEATS, STEPS, new_loop
from transformers import LlamaConfig, LlamaForTokenClassification

from peftcost.cost.meter import Stopwatch
from peftcost.engine.prepared import Split, batches_of_epoch

TAGS = 3
SIZES = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}


def packing() -> dict[str, Any]:
    """Seconds of packed steps over those of bucketed steps, the same texts in turns, by rows a batch; and how far the
    losses and gradients of the two are apart."""
    split = new_loop("frozen").split
    torch.manual_seed(0)
    model = LlamaForTokenClassification(LlamaConfig(vocab_size=30522, num_labels=TAGS, **SIZES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    found = {}
    for rows in (4, 16):
        chosen = batches_of_epoch(split.lengths, rows, 0, 0)[: STEPS * 4 // rows]
        ratios = []
        for repeat in range(REPEATS + 1):
            seconds = {}
            for shape in (padded, packed) if repeat % 2 else (packed, padded):
                watch = Stopwatch(device)
                for batch in chosen:
                    step(model, shape(split, batch, device))
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                seconds[shape] = watch.lap()
            if repeat:  # the first one allocates
                ratios.append(seconds[packed] / seconds[padded])
        tokens, widest = split.lengths[np.concatenate(chosen)].sum(), sum(len(b) * split.lengths[b].max() for b in chosen)
        found[f"{rows} rows"] = {
            "packed_over_bucketed": spread(ratios),
            "padding_in_buckets": float(1 - tokens / widest),
            "largest_difference": differences(model, split, chosen[0], device),
        }
        print(rows, found[f"{rows} rows"], flush=True)
    return found


def padded(split: Split, chosen: np.ndarray, device: torch.device) -> dict[str, torch.Tensor]:
    """The batch as the engine makes it: (rows, width), with a tag for each token and -100 beside."""
    ids = [torch.from_numpy(split.example(i)[0].astype(np.int64)) for i in chosen]
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = pad(ids, batch_first=True)
    mask = pad([torch.ones_like(row) for row in ids], batch_first=True)
    labels = torch.where(mask == 1, inputs % TAGS, -100)
    return {k: v.to(device) for k, v in {"input_ids": inputs, "attention_mask": mask, "labels": labels}.items()}


def packed(split: Split, chosen: np.ndarray, device: torch.device) -> dict[str, torch.Tensor]:
    """The same texts in one row of shape (1, tokens)."""
    ids = [torch.from_numpy(split.example(i)[0].astype(np.int64)) for i in chosen]
    inputs = torch.cat(ids)[None]
    positions = torch.cat([torch.arange(len(row)) for row in ids])[None]
    return {k: v.to(device) for k, v in {"input_ids": inputs, "position_ids": positions, "labels": inputs % TAGS}.items()}


def step(model: LlamaForTokenClassification, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Forward and backward; the mean loss over tokens."""
    loss = model(**inputs, use_cache=False).loss
    loss.backward()
    return loss.detach()


def differences(
    model: LlamaForTokenClassification, split: Split, chosen: np.ndarray, device: torch.device
) -> dict[str, float]:
    """Between the packed and the padded batch: of the losses, and of any gradient relative to its tensor's largest."""
    model.eval()
    losses, gradients = [], []
    for shape in (padded, packed):
        losses.append(float(step(model, shape(split, chosen, device))))
        gradients.append([p.grad.clone() for p in model.parameters()])
        model.zero_grad(set_to_none=True)
    model.train()
    apart = max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in zip(*gradients, strict=True))
    return {"loss": abs(losses[0] - losses[1]), "gradient": apart}
