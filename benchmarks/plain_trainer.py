"""What people run without peftcost: transformers' Trainer with its default settings, over the whole model.

python benchmarks/plain_trainer.py JOB.json OUT.npy     JOB: prepared (the folder of the encoded splits), seconds, seed. OUT:
the rows of the test split, as the task type's metrics take them. Prints steps and seconds of the training.

Rows, tokens, padding and loss are those of peftcost, so that both are judged on the same; all else is Trainer's own: AdamW at
5e-5 with a linear decay to zero, batches of 8 in random order. It trains for as many steps as fit into the seconds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Trainer, TrainerCallback, TrainingArguments

from peftcost.data.features import Split
from peftcost.engine.base_model import BaseSpec, load_base, quiet_transformers
from peftcost.engine.dataset import Collator, DatasetInfo, load_dataset_info, load_split
from peftcost.engine.evaluate import evaluate
from peftcost.tasks.batch import Batch

WARM, TIMED = 5, 25
"""Steps of a training that is thrown away, to know how many fit into the seconds."""


class StepTimes(TrainerCallback):
    def __init__(self) -> None:
        self.at: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.at.append(time.perf_counter())


class PlainTrainer(Trainer):
    """Trainer with the task type's loss."""

    def __init__(self, info: DatasetInfo, **options: Any) -> None:
        super().__init__(**options)
        self.info = info

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        targets = inputs.pop("labels")
        outputs = model(**inputs)
        batch = Batch(inputs, targets, next(iter(inputs.values())).shape[1])
        total, count = self.info.task_type.loss(outputs.logits, batch)
        loss = total / max(1, int(count))
        return (loss, outputs) if return_outputs else loss


def trained(
    info: DatasetInfo, split: Split, collator: Collator, seed: int, steps: int
) -> tuple[torch.nn.Module, list[float]]:
    """A model after so many steps, and when each of them ended."""
    transformers.set_seed(seed)
    model, times = load_base(BaseSpec.plain(info), seed), StepTimes()

    def collate(indices: list[int]) -> dict[str, torch.Tensor]:
        batch = collator.batch(split, indices)
        return {**batch.inputs, "labels": batch.targets}

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out, max_steps=steps, seed=seed, use_cpu=not torch.cuda.is_available(), save_strategy="no",
            logging_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False,
        )  # fmt: skip
        PlainTrainer(
            info, model=model, args=arguments, train_dataset=list(range(len(split))), data_collator=collate, callbacks=[times]
        ).train()
    return model, times.at


def main(job: dict[str, Any], out: Path) -> None:
    quiet_transformers()
    folder = Path(job["prepared"])
    info, split, test = load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "test")
    collator = Collator(info.task_type, info.targets, info.padding, info.max_length)
    _, at = trained(info, split, collator, job["seed"], WARM + TIMED)
    step_seconds = statistics.median(end - start for start, end in pairwise(at[WARM - 1 :]))
    steps = max(1, round(job["seconds"] / step_seconds))
    started = time.perf_counter()
    model, at = trained(info, split, collator, job["seed"], steps)
    np.save(out, evaluate(model, test, collator, next(model.parameters()).device).rows)
    print(json.dumps({"steps": steps, "seconds": at[-1] - started}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
