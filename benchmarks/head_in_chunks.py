"""Time and memory of a language model's step, with its head in chunks of positions and at once.

    taskset -c 0 python -m benchmarks.head_in_chunks bf16 lora 1024

prints seconds of one CPU thread, and the step's peak in GB, as it is and with all logits at once: a Llama of two layers,
hidden width 512, vocabulary 128,256. Arguments: precision, method, positions whose logits count.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from unittest import mock

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from peftcost.core.setup import Setup
from peftcost.cost.meter import step_peak_bytes
from peftcost.engine.step_estimate import Shape, one_step, quiet
from peftcost.engine.train_state import made_trainable, make_optimizer
from peftcost.methods import get_method
from peftcost.tasks import get_task_type, lazy_logits
from peftcost.tasks.targets import Tokens

WIDTH = 256


def main(precision: str, name: str, positions: int) -> None:
    torch.set_num_threads(1)
    sizes = {"hidden_size": 512, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 1408}
    rows = positions // WIDTH + 1
    method, shape = get_method(name), Shape(rows, WIDTH, places=positions)
    choices = Setup.of(name, {**method.prior(), "precision": precision, "batch_size": rows}, 1000).hyperparameters
    torch.manual_seed(0)
    with quiet():
        base = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=128_256, pad_token_id=0, tie_word_embeddings=True))
        base.fresh_modules = ()
        model = made_trainable(base, method, choices, 1000).train()
    optimizer = make_optimizer(model, choices)
    step = partial(one_step, model, optimizer, method, choices, get_task_type("causal-lm"), Tokens(), shape)
    step()  # makes the optimizer's states
    for how, few in (("in chunks", lazy_logits.FEW), ("at once", {})):
        with mock.patch.object(lazy_logits, "FEW", few):
            start = time.process_time()
            step()
            seconds = time.process_time() - start
            peak = step_peak_bytes(step, model, optimizer, torch.device("cpu"))
        print(f"{precision} {name} {positions} {how}: {seconds:.1f} s, {peak / 1e9:.2f} GB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
