"""A LoRA step with each implementation of attention that can be had here, what a probe takes, and what eager keeps in memory.

python -m benchmarks.gpu.attention [SIZE …]     Prints one JSON object. Steps are replayed where they can be captured.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from typing import Any

import transformers

from benchmarks.gpu.models import CLASSES, dataset_info_of, folder_of, random_rows
from benchmarks.gpu.one_by_one import chosen, print_each
from benchmarks.gpu.sizes import Size
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
    print_each((size.name, partial(measure, size)) for size in chosen(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
