"""Trains a small random model for a moment, with the same loop as a real training: does it work here, and how fast."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel

from peftcost.core.setup import Setup
from peftcost.data.features import Column, Split, ragged
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.job import NullReporter, Reporter, TrainJob
from peftcost.engine.schedule import StepPlan
from peftcost.engine.train import Loop
from peftcost.engine.train_state import build
from peftcost.methods import get_method
from peftcost.tasks.targets import Classes

ROWS, TOKENS, VOCABULARY = 16, 64, 1000
WIDTH, LAYERS = 256, 2
FIRST_STEPS = 5
"""Untimed: they allocate, compile kernels, and on a GPU capture the step that the others replay."""
STEPS_AT_ONCE = 10
SLOW_SECONDS = 5.0
"""Where the first steps take longer (a precision without kernels of its own), the others are timed one by one."""
PLAN = StepPlan(0, 101, 100)
"""What a method that must know its length beforehand is told, and the steps that are to be captured."""
SEED = 0


def selftest(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: method, precision, seconds (0: the first few steps alone).

    Returns device (kind), threads, steps, first_loss, last_loss and steps_per_second (None when nothing was timed).
    It always trains on the same rows, so the loss has to fall.
    """
    reporter.phase("startup")
    with tempfile.TemporaryDirectory(prefix="peftcost-selftest-") as scratch:
        loop = small_loop(payload["method"], payload["precision"], Path(scratch))
        reporter.phase("train")
        with loop.capture_steps():
            train_steps(loop, FIRST_STEPS)
            first_loss, untimed_seconds = loop.train_loss, loop.gpu_seconds
            at_once = STEPS_AT_ONCE if untimed_seconds <= SLOW_SECONDS else 1
            while loop.gpu_seconds - untimed_seconds < payload["seconds"]:
                train_steps(loop, at_once)
    timed_steps = loop.step - FIRST_STEPS
    return {
        "device": loop.train_state.device.type,
        "threads": torch.get_num_threads(),
        "steps": loop.step,
        "first_loss": first_loss,
        "last_loss": loop.train_loss,
        "steps_per_second": timed_steps / (loop.gpu_seconds - untimed_seconds) if timed_steps else None,
    }


def train_steps(loop: Loop, steps: int) -> None:
    """So many more steps at a constant rate; the stable phase's end is out of reach, so that nothing is saved."""
    end = loop.step + steps
    loop.plan = replace(loop.plan, total_steps=end, stable_steps=end + 1)
    loop.run_steps()


def small_loop(method: str, precision: str, scratch: Path) -> Loop:
    """The loop of a small random BERT in this method and precision. SetupFailed when the method cannot take it."""
    # One rate for every method: the test asks whether the steps work, not how well they learn.
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 1e-3, "precision": precision}, ROWS)
    train_state = build(setup, SEED, small_task(scratch / "model"), PLAN.total_steps)
    job = TrainJob(str(scratch), setup, SEED, str(scratch), checkpoint_seconds=math.inf)
    split = random_split()
    train_state.model.train()
    return Loop(job, NullReporter(), train_state, split, split, PLAN)


def small_task(folder: Path) -> DatasetInfo:
    """A task whose base is a small random BERT, written to `folder`."""
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // 64,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=2 * TOKENS,  # room for virtual tokens
    )
    BertModel(config).save_pretrained(folder)
    return DatasetInfo(
        model=str(folder),
        task="text-classification",
        metric="accuracy",
        targets=Classes(("no", "yes")),
        padding={"input_ids": 0},
        max_positions=2 * TOKENS,
        max_length=TOKENS,
    )


def random_split() -> Split:
    """Random tokens (0 pads) with alternating labels: small enough to be learnt by heart."""
    ids = np.random.default_rng(SEED).integers(1, VOCABULARY, (ROWS, TOKENS))
    columns = {"input_ids": ragged(ids.tolist()), "targets": Column(np.arange(ROWS, dtype=np.int32) % 2)}
    return Split(columns, np.full(ROWS, TOKENS))
