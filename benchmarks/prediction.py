"""How far predictions are from what is measured: peak memory and time per step, all methods, an encoder and a decoder.

python benchmarks/prediction.py     about 15 minutes on two cores; nothing may run beside it. Resumable: what was
measured is kept in results/prediction.rows.jsonl until the machine or a version changes (delete it to start anew).
Writes results/prediction.json.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from machine import RESULTS, write_result

from peftcost.core.setup import Setup
from peftcost.cost.device import choose_devices
from peftcost.cost.machines import needed_bytes
from peftcost.cost.meter import process_peak_bytes, reset_peaks, step_peak_bytes
from peftcost.cost.rates import Rates, Work
from peftcost.data.builtin import builtin_model
from peftcost.engine.calibrate import CLASSES, TASK, calibrate, real_train_state, save_random, step_seconds
from peftcost.engine.step_estimate import Shape, estimate_step, one_step
from peftcost.engine.worker import configure_process
from peftcost.methods import get_method, methods
from peftcost.tasks import get_task_type

SHAPES = (Shape(16, 32), Shape(16, 64), Shape(8, 128))
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["peftcost.engine.preload"])
ROWS = RESULTS / "prediction.rows.jsonl"


def decoder() -> transformers.PretrainedConfig:
    return transformers.LlamaConfig(
        vocab_size=8000,
        hidden_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=1376,
        pad_token_id=0,
    )


def main() -> None:
    configure_process(choose_devices()[0])
    known = {row["key"]: row for row in map(json.loads, ROWS.read_text().splitlines())} if ROWS.exists() else {}
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, ROWS.open("a") as file:
        save_random(decoder(), Path(scratch) / "decoder")
        folders = {"encoder": builtin_model("minilm"), "decoder": Path(scratch) / "decoder"}
        if "rates" not in known:
            known["rates"] = {"key": "rates", "seconds_per": calibrate().seconds_per}
            file.write(json.dumps(known["rates"]) + "\n")
        for family, folder in folders.items():
            for method in methods():
                for shape in SHAPES:
                    key = f"{family} {method} {shape.batch_size}x{shape.tokens}"
                    if key in known:
                        continue
                    known[key] = {"key": key, **in_a_child(folder, method, shape)}
                    file.write(json.dumps(known[key]) + "\n")
                    file.flush()
                    print(key, {k: v for k, v in known[key].items() if k.endswith(("bytes", "seconds"))}, flush=True)
    rates = Rates(known.pop("rates")["seconds_per"])
    write_result("prediction", summary(list(known.values()), rates))


def in_a_child(folder: Path, method: str, shape: Shape) -> dict[str, Any]:
    """`measure` in a process of its own, forked from a server that has imported everything, as the search's workers."""
    ours, theirs = CHILDREN.Pipe(duplex=False)
    process = CHILDREN.Process(target=send_measured, args=(theirs, folder, method, shape))
    process.start()
    theirs.close()
    row: dict[str, Any] = ours.recv()
    process.join()
    return row


def send_measured(pipe: Any, folder: Path, method: str, shape: Shape) -> None:
    configure_process(choose_devices()[0])
    pipe.send(measure(folder, method, shape))


def measure(folder: Path, method: str, shape: Shape) -> dict[str, Any]:
    """One setup: predicted from its configuration, then really trained for a few steps."""
    choices = Setup.of(method, get_method(method).prior(), 1000).hyperparameters
    config = transformers.AutoConfig.from_pretrained(folder)
    estimate = estimate_step(config, get_task_type(TASK), get_method(method), choices, shape, CLASSES)
    seconds = step_seconds(folder, method, choices, shape, CLASSES)
    train_state = real_train_state(folder, method, choices)
    model, optimizer, device = train_state.model, train_state.optimizer, train_state.device

    def step() -> None:
        one_step(
            model, optimizer, get_method(method), choices, get_task_type(TASK), CLASSES, shape, train_state.frozen_layers
        )

    reset_peaks(device)
    step()
    process_peak = process_peak_bytes(device)
    return {
        "predicted_peak_bytes": estimate.peak_bytes,
        "peak_bytes": step_peak_bytes(step, model, optimizer, device),
        "process_peak_bytes": process_peak,
        "rule_of_thumb_bytes": 16 * estimate.total_parameters,
        "estimate_memory_bytes": estimate_memory(model),
        "seconds": seconds,
        "work": estimate.work.as_dict(),
    }


def estimate_memory(model: torch.nn.Module) -> int:
    """What `accelerate estimate-memory` says for training this model with Adam in fp32: four times its weights."""
    from accelerate.commands.estimate import estimate_training_usage
    from accelerate.utils import calculate_maximum_sizes

    with contextlib.redirect_stdout(io.StringIO()):
        total, _ = calculate_maximum_sizes(model)
        usage = estimate_training_usage(total, "float32")
    return int(max(usage.values()))


def summary(rows: list[dict[str, Any]], rates: Rates) -> dict[str, Any]:
    for row in rows:
        row["needed_bytes"] = needed_bytes(row["predicted_peak_bytes"], choose_devices()[0].kind)
        row["predicted_seconds"] = rates.seconds(Work(**row.pop("work")))
    figures = {
        "peak_bytes": errors(rows, "predicted_peak_bytes", "peak_bytes"),
        "process_peak_bytes": errors(rows, "needed_bytes", "process_peak_bytes"),
        "seconds": errors(rows, "predicted_seconds", "seconds"),
        "peak_bytes_by_rule_of_thumb": errors(rows, "rule_of_thumb_bytes", "peak_bytes"),
        "peak_bytes_by_estimate_memory": errors(rows, "estimate_memory_bytes", "peak_bytes"),
    }
    for name, figure in figures.items():
        print(name, figure)
    return {"setups": len(rows), "relative_errors": figures, "rates": rates.seconds_per, "rows": rows}


def errors(rows: list[dict[str, Any]], predicted: str, measured: str) -> dict[str, float]:
    """Of |predicted / measured - 1|: median, 95th percentile, worst; and the lowest predicted / measured."""
    ratios = np.array([row[predicted] / row[measured] for row in rows])
    off = np.abs(ratios - 1)
    return {
        "median": round(float(np.median(off)), 4),
        "p95": round(float(np.percentile(off, 95)), 4),
        "worst": round(float(off.max()), 4),
        "lowest_ratio": round(float(ratios.min()), 4),
    }


if __name__ == "__main__":
    main()
