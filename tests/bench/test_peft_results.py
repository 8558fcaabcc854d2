"""Result files of PEFT's method comparison are read as a comparison."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peftcost.bench.compare import facts_of
from peftcost.bench.peft_results import compare_peft_results
from peftcost.errors import UserError


def result(name: str, accuracy: float | None, seconds: float) -> dict[str, Any]:
    """As PEFT writes it, less what is not read."""
    last = {"step": 5000, "test accuracy": accuracy} if accuracy is not None else {"step": 250, "valid accuracy": 0.1}
    return {
        "run_info": {
            "experiment_name": name,
            "error_msg": "" if accuracy is not None else "CUDA OOM",
            "train_config": {"model_id": "meta-llama/Llama-3.2-3B", "max_steps": 5000, "batch_size": 4, "seed": 0},
        },
        "train_info": {
            "train_time": seconds,
            "accelerator_memory_max": 2 * 10**10,
            "file_size": 10,
            "num_trainable_params": 5,
            "status": "success",
            "metrics": [last],
        },
        "meta_info": {
            "dataset_info": {"metamath": {}, "gsm8k": {}},
            "system_info": {"accelerator": "NVIDIA L40S"},
            "package_info": {"peft-version": "0.19", "peft-commit-hash": "x"},
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file, found in (
        ("full-finetuning--llama-3.2-3B-lr_1", result("full-finetuning/llama-3.2-3B-lr_1", 0.47, 2000)),
        ("lora--llama-3.2-3B-rank32", result("lora/llama-3.2-3B-rank32", 0.478, 900)),
        ("ia3--llama-3.2-3B-default", result("ia3/llama-3.2-3B-default", 0.31, 800)),
        ("vera--llama-3.2-3B-default", result("vera/llama-3.2-3B-default", None, 800)),
    ):
        (tmp_path / f"{file}.json").write_text(json.dumps(found))
    return tmp_path


def test_setups_have_their_own_names_and_full_fine_tuning_is_the_reference(folder: Path) -> None:
    facts = facts_of(compare_peft_results(folder))
    names = {c["key"]: c["name"] for c in facts["contenders"]}
    assert sorted(names.values()) == ["full lr_1", "ia3 default", "lora rank32", "vera default"]
    assert names[facts["reference"]] == "full lr_1"
    cells = {names[cell["contender"]]: cell for cell in facts["cells"]}
    assert cells["lora rank32"]["against_reference"] == 0 and cells["ia3 default"]["against_reference"] == -1
    low, high = cells["full lr_1"]["quality_interval"]
    assert high - low == pytest.approx(2 * 1.96 * (0.47 * 0.53 / 1319) ** 0.5, rel=0.1)
    assert [t["reason"] for t in facts["trainings"] if t["reason"]] == ["CUDA OOM"]


def test_other_files_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (folder / "other.json").write_text("{}")
    with pytest.raises(UserError, match=r"other\.json is no result file"):
        compare_peft_results(folder)
    with pytest.raises(UserError, match="holds no result files"):
        compare_peft_results(tmp_path / "nothing")


def test_the_command_takes_the_folder(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "peftcost", "bench", str(folder), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "bench.html").exists() and (tmp_path / "out" / "bench.parquet").exists()
