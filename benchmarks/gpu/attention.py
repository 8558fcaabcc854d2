"""A LoRA step with each implementation of attention that can be had here, what a probe takes, and what eager keeps in memory.

python -m benchmarks.gpu.attention [SIZE …]     Prints one JSON object. Steps are replayed where they can be captured.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from typing import Any

import torch
import transformers

from benchmarks.gpu.models import CLASSES, SIZES, Size, dataset_info_of, folder_of, random_rows
from benchmarks.gpu.steps import PLAN, setup_of
from peftcost.core.setup import ATTENTION
from peftcost.cost.meter import Stopwatch
from peftcost.engine.attention import EAGER, FLASH, attention_of, settled
from peftcost.engine.fitting import estimate_of
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.step_times import usual_seconds
from peftcost.engine.train import Loop
from peftcost.engine.train_state import build


def measure(size: Size) -> dict[str, Any]:
    setup, info, split = setup_of("lora", size), dataset_info_of(size), random_rows(size)
    ms: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as out:
        job = TrainJob(out, setup, 0, out, attentions={EAGER: 1, FLASH: 1})
        train_state = build(setup, 0, info, PLAN.total_steps)
        train_state.model.train()
        plain: Any = train_state.plain

        def loop() -> Loop:
            return Loop(job, NullReporter(), train_state, split, split, PLAN)

        def seconds() -> float:
            taken = usual_seconds(loop())
            ms[str(attention_of(plain.config))] = round(1000 * taken, 3)
            return taken

        watch = Stopwatch(train_state.device)
        chosen = settled(job, plain, seconds).setup.hyperparameters.get(ATTENTION)
        probing = watch.lap()
        plain.set_attn_implementation(EAGER)
        measured = loop().peak_bytes()
    choices = {**setup.hyperparameters, ATTENTION: EAGER}
    config = transformers.AutoConfig.from_pretrained(folder_of(size.model))
    found = estimate_of(config, info.task_type, "lora", choices, size.tokens, CLASSES, "cuda")
    memory = {"estimated_bytes": found.peak_bytes, "measured_bytes": measured, "ratio": round(found.peak_bytes / measured, 4)}
    return {"ms": ms, "chosen": chosen, "probing_seconds": round(probing, 2), "eager memory": memory}


def main(wanted: list[str]) -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rows: dict[str, Any] = {}
    for size in (size for size in SIZES if not wanted or size.name in wanted):
        rows[size.name] = measure(size)
        gc.collect()
        torch.cuda.empty_cache()
        print(size.name, rows[size.name], file=sys.stderr, flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
