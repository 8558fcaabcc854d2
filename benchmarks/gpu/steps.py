"""Milliseconds of a training step: plain PEFT, transformers.Trainer, and the engine eager, captured and packed.

python -m benchmarks.gpu.steps [SIZE …]     Prints one JSON object. All ways in turn, on the same shapes, in bf16.
"""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model

from benchmarks.gpu.models import LABELS, dataset_info_of, folder_of, full_batch, random_rows
from benchmarks.gpu.one_by_one import chosen
from benchmarks.gpu.sizes import Size
from peftcost.core.setup import Setup
from peftcost.cost.meter import Stopwatch
from peftcost.data.features import Split
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.packed_lora import packed
from peftcost.engine.precision import on_gpu
from peftcost.engine.schedule import StepPlan
from peftcost.engine.train import Loop
from peftcost.engine.train_pack import CostAlone, Pack, members_of
from peftcost.engine.train_state import build
from peftcost.methods import get_method

WARM, TIMED, ROUNDS = 3, 5, 2
PLAN = StepPlan(1000, 1001, 10)
Step = Callable[[], Any]
DEVICE = torch.device("cuda")


def setup_of(method: str, size: Size, seed_rate: float = 1.0) -> Setup:
    own = get_method(method)
    batch = {"batch_size": size.rows, "micro_batch_size": size.rows}
    choices = {**own.prior(), **batch, **on_gpu(own, has_bf16=True)}
    return Setup.of(method, {**choices, "learning_rate": float(choices["learning_rate"] or 0) * seed_rate}, 1000 * size.rows)


def plain(size: Size, method: str) -> Step:
    """A bare loop: transformers, PEFT, autocast, fused AdamW; the frozen base in bf16."""
    full = method == "full"
    dtype = torch.float32 if full else torch.bfloat16
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder_of(size.model), num_labels=len(LABELS), dtype=dtype
    )
    model.config.pad_token_id = 0
    if not full:
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS"))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    model.to(DEVICE).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    batch = batch_of(size)

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def batch_of(size: Size) -> dict[str, torch.Tensor]:
    rows = random_rows(size)
    ids = torch.zeros(size.rows, size.tokens, dtype=torch.long)
    for i in range(size.rows):
        example = torch.from_numpy(rows.columns["input_ids"][i].astype("int64"))
        ids[i, : len(example)] = example
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": torch.arange(size.rows) % len(LABELS)}
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


def trainer_seconds(size: Size, method: str) -> float:
    """Of a step of transformers.Trainer with the same model, batches collated beforehand."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder_of(size.model), num_labels=len(LABELS), dtype=torch.float32 if method == "full" else torch.bfloat16
    )
    model.config.pad_token_id = 0
    if method != "full":
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS"))
    one = {name: tensor.cpu() for name, tensor in batch_of(size).items()}

    def run(steps: int) -> float:
        with tempfile.TemporaryDirectory() as out:
            arguments = transformers.TrainingArguments(
                output_dir=out,
                max_steps=steps,
                per_device_train_batch_size=1,
                bf16=True,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            trainer = transformers.Trainer(
                model=model, args=arguments, train_dataset=[one] * steps, data_collator=lambda items: items[0]
            )
            return float(trainer.train().metrics["train_runtime"])

    run(WARM)
    return run(TIMED * ROUNDS) / (TIMED * ROUNDS)


def loop_of(setup: Setup, info: DatasetInfo, split: Split, stack: ExitStack) -> Loop:
    """The engine's loop, ready for steps."""
    out = stack.enter_context(tempfile.TemporaryDirectory())
    train_state = build(setup, 0, info, PLAN.total_steps)
    train_state.model.train()
    return Loop(TrainJob(out, setup, 0, out), NullReporter(), train_state, split, split, PLAN)


def engine(size: Size, method: str, captured: bool, stack: ExitStack) -> Step:
    """A step of the engine's loop."""
    loop = loop_of(setup_of(method, size), dataset_info_of(size), random_rows(size), stack)
    if captured:
        stack.enter_context(loop.capture_steps())
    batch = full_batch(size)

    def step() -> None:
        loop.train_step(batch)

    return step


def pack(size: Size, k: int, captured: bool, stack: ExitStack) -> Step:
    """A step of k LoRA setups at once, each with its own rate."""
    info, split = dataset_info_of(size), random_rows(size)
    out = stack.enter_context(tempfile.TemporaryDirectory())
    jobs = [TrainJob(out, setup_of("lora", size, 1 + i / 10), 0, str(Path(out) / str(i))) for i in range(k)]
    together = Pack(members_of(jobs, info, split, split, NullReporter()), CostAlone(0.0))
    together.model.train()
    stack.enter_context(packed(together.plain, [member.train_state.adapter for member in together.members]))
    if captured:
        stack.enter_context(together.capture_steps())
    for member in together.members:
        member.batches = itertools.repeat(full_batch(size))
    return together.step


def milliseconds(step: Step) -> dict[str, float]:
    """Median and spread over rounds."""
    for _ in range(WARM):
        step()
    watch, rounds = Stopwatch(DEVICE), []
    for _ in range(ROUNDS):
        watch.lap()
        for _ in range(TIMED):
            step()
        rounds.append(1000 * watch.lap() / TIMED)
    return {"ms": round(statistics.median(rounds), 3), "spread_ms": round(max(rounds) - min(rounds), 3)}


def ways(size: Size) -> dict[str, Callable[[ExitStack], Step]]:
    return {
        "plain lora": lambda stack: plain(size, "lora"),
        "plain full": lambda stack: plain(size, "full"),
        "engine lora eager": lambda stack: engine(size, "lora", False, stack),
        "engine lora captured": lambda stack: engine(size, "lora", True, stack),
        "engine full captured": lambda stack: engine(size, "full", True, stack),
        "engine nf4-lora captured": lambda stack: engine(size, "nf4-lora", True, stack),
        "8 packed eager": lambda stack: pack(size, 8, False, stack),
        "8 packed captured": lambda stack: pack(size, 8, True, stack),
    }


def measure(size: Size) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, way in ways(size).items():
        with ExitStack() as stack:
            try:
                found[name] = milliseconds(way(stack))
            except torch.OutOfMemoryError:
                found[name] = {"ms": None}
        gc.collect()
        torch.cuda.empty_cache()
        print(size.name, name, found[name], file=sys.stderr, flush=True)
    for method in ("lora", "full"):
        found[f"trainer {method}"] = {"ms": round(1000 * trainer_seconds(size, method), 3)}
        gc.collect()
        torch.cuda.empty_cache()
    found["ratios"] = ratios({name: entry["ms"] for name, entry in found.items()})
    return found


def ratios(ms: dict[str, float | None]) -> dict[str, float | None]:
    """How many times as fast. packed: setups a second, of eight against eager ones alone."""

    def times(slow: str, fast: str, factor: float = 1.0) -> float | None:
        a, b = ms[slow], ms[fast]
        return round(factor * a / b, 2) if a and b else None

    return {
        "captured over plain, lora": times("plain lora", "engine lora captured"),
        "captured over plain, full": times("plain full", "engine full captured"),
        "captured over trainer, lora": times("trainer lora", "engine lora captured"),
        "packed captured over plain alone": times("plain lora", "8 packed captured", 8),
        "packed captured over captured alone": times("engine lora captured", "8 packed captured", 8),
        "packed eager over plain alone": times("plain lora", "8 packed eager", 8),
        "lora over full, captured": times("engine lora captured", "engine full captured"),
    }


def main(wanted: list[str]) -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(json.dumps({size.name: measure(size) for size in chosen(wanted)}))


if __name__ == "__main__":
    main(sys.argv[1:])
