"""Section `packing` of benchmarks/engine.py: a causal model's texts laid end to end in one row, against padded buckets.

The engine's own loop, full fine-tuning of a Llama with random weights (they do not matter for seconds). Attention pays for
the whole row unless its kernel skips other texts (flash-attn's variable lengths do, SDPA does not).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from engine import spread, tweets
from engine_steps import PAIRS, STEPS, engine_seconds, new_loop
from transformers import AutoTokenizer, LlamaConfig

from peftcost.engine.calibrate import save_random
from peftcost.engine.dataset import batches_of_epoch, padded_tokens
from peftcost.engine.train import Loop

SIZES = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}


def packing() -> dict[str, Any]:
    """Seconds of packed steps over those of padded steps on the same batches, in turns, by rows a batch; how much padding
    there is to save; and how far the losses and gradients of the two are apart at the start."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        save_random(LlamaConfig(vocab_size=30522, pad_token_id=0, **SIZES), Path(folder))
        AutoTokenizer.from_pretrained(tweets()[1]).save_pretrained(folder)
        for rows in (4, 16):
            padded, packed = (new_loop("full", folder, batch_size=rows, micro_batch_size=rows) for _ in range(2))
            packed.packs = True
            apart = differences(padded, packed)
            ratios = []
            for pair in range(2 * PAIRS + 1):
                timed = {
                    one.packs: engine_seconds(one, STEPS) for one in ((padded, packed) if pair % 2 else (packed, padded))
                }
                if pair:  # the first one allocates
                    ratios.append(timed[True] / timed[False])
            epoch = batches_of_epoch(padded.split.lengths, rows, 0, 0)
            found[f"{rows} rows"] = {
                "packed_over_padded": spread(ratios),
                "padding_in_buckets": 1 - int(padded.split.lengths.sum()) / padded_tokens(padded.split, epoch),
                "largest_difference": apart,
            }
            print(rows, found[f"{rows} rows"], flush=True)
    return found


def differences(padded: Loop, packed: Loop) -> dict[str, float]:
    """Between a packed and a padded batch: of the losses, and of any gradient relative to its tensor's largest."""
    (batch, *_) = batches_of_epoch(padded.split.lengths, padded.batch_size, 0, 0)
    losses = [float(loop._gradients(batch)) for loop in (padded, packed)]
    gradients = zip(padded.train_state.trained.values(), packed.train_state.trained.values(), strict=True)
    apart = max(float((a.grad - b.grad).abs().max() / a.grad.abs().max().clamp_min(1e-12)) for a, b in gradients)
    for loop in (padded, packed):
        loop.train_state.optimizer.zero_grad(set_to_none=True)
    return {"loss": abs(losses[0] - losses[1]), "gradient": apart}
