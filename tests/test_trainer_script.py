"""The rival of the benchmarks: one script a setup, which the GPU's mix of setups calls in one process."""

from __future__ import annotations

import json
import time
from pathlib import Path

import datasets
import pytest

from benchmarks import trainer_script
from peftcost.core.setup import Setup
from peftcost.methods import get_method


def test_its_stages_are_those_of_one_call(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": f"row {i}", "label": i % 2}) + "\n" for i in range(8)))
    choices = dict(Setup.of("lora", {**get_method("lora").prior(), "batch_size": 4}, 8).hyperparameters)
    job = {"model": str(tiny_bert), "train": str(file), "dev": str(file), "format": "json", "method": "lora"}
    began = time.perf_counter()
    stages = trainer_script.main({**job, "hyperparameters": choices, "examples": 8, "seed": 0})
    took = time.perf_counter() - began
    assert 0 < sum(stages[name] for name in ("loading", "training", "evaluating")) <= took
