"""What people run today: one script a setup, transformers' Trainer over a PEFT model. The rival of benchmarks/engine.py.

python benchmarks/trainer_script.py JOB.json OUT.json     JOB: model, train and dev (CSV; JSON lines with format: json),
method, hyperparameters, examples, seed. The method is applied by peftcost, so that the very same parameters are trained; all
else is Trainer's own: its random order, its padding to the longest of a batch, its fused AdamW, its evaluation (in batches of
64, which is kinder than its default of 8). OUT: seconds of each stage, the dev loss, and peak_bytes as peftcost measures it,
of a step on the largest batch of the epoch.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

# ruff: noqa: E402  (importing is a stage that is timed)

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import load_dataset
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from peftcost.cost.meter import step_peak_bytes
from peftcost.engine.base_model import BaseSpec, load_base, quiet_transformers
from peftcost.engine.train_state import made_trainable
from peftcost.methods import get_method
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes
from peftcost.tasks.text_inputs import load_tokenizer

IMPORTED = time.perf_counter()


class AfterStep(TrainerCallback):
    """AdaLoRA's ranks are allocated between the optimizer's step and the zeroing of gradients."""

    def __init__(self, method: Any, model: torch.nn.Module) -> None:
        self.method, self.model = method, model

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.method.after_step(self.model, state.global_step)


def arguments(out: str, choices: dict[str, Any], steps: int, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=out,
        max_steps=steps,
        per_device_train_batch_size=int(choices["batch_size"]),
        per_device_eval_batch_size=64,
        learning_rate=float(choices["learning_rate"]),
        weight_decay=float(choices["weight_decay"]),
        warmup_steps=int(choices["warmup_steps"]),
        max_grad_norm=float(choices["max_grad_norm"]),
        seed=seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        label_names=["labels"],
    )


def main(job: dict[str, Any]) -> dict[str, float]:
    began = time.perf_counter()  # not since the imports: benchmarks/gpu/mix.py calls it again and again
    quiet_transformers()
    choices, method = job["hyperparameters"], get_method(job["method"])
    tokenizer = load_tokenizer(job["model"])
    data = load_dataset(job.get("format", "csv"), data_files={"train": job["train"], "dev": job["dev"]})
    data = data.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=512), batched=True)
    data = data.map(lambda row: {"labels": row["label"]}, remove_columns=["text", "label"])
    labels = [str(label) for label in sorted(set(data["train"]["labels"]))]
    base = load_base(
        BaseSpec(
            job["model"],
            "AutoModelForSequenceClassification",
            get_task_type("text-classification").model_options(Classes(tuple(labels))),
            quantization=method.quantization,
        ),
        job["seed"],
        "cuda" if torch.cuda.is_available() else "cpu",  # Trainer does not move quantized models
    )
    steps = -(-job["examples"] // int(choices["batch_size"]))
    model = made_trainable(base, method, choices, steps)
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model=model,
            args=arguments(out, choices, steps, job["seed"]),
            train_dataset=data["train"],
            eval_dataset=data["dev"],
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[AfterStep(method, model)],
        )
        loaded = time.perf_counter()
        trainer.train()
        trained = time.perf_counter()
        loss = trainer.evaluate()["eval_loss"]
        method.save(model, Path(out))
        evaluated = time.perf_counter()
        peak_bytes = peak_of(trainer)
    return {
        "peak_bytes": peak_bytes,
        "measuring": time.perf_counter() - evaluated,
        "imports": IMPORTED - STARTED,
        "loading": loaded - began,
        "training": trained - loaded,
        "evaluating": evaluated - trained,
        "dev_loss": loss,
    }


def peak_of(trainer: Trainer) -> int:
    batches = list(trainer.get_train_dataloader())
    largest = max(batches, key=lambda batch: batch["input_ids"].numel())
    trainer.model.train()

    def step() -> None:
        trainer.model(**largest).loss.backward()
        trainer.optimizer.step()

    optimizer = trainer.optimizer.optimizer  # Accelerate's wrapper has no state of its own
    return step_peak_bytes(step, trainer.model, optimizer, trainer.args.device)


if __name__ == "__main__":
    transformers.set_seed(json.loads(Path(sys.argv[1]).read_text())["seed"])
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
