"""What a search keeps of methods that train parts of the model itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from peftcost.core.setup import Setup
from peftcost.engine.artifact import load_artifact, write_whole
from peftcost.engine.dataset import load_dataset_info
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.train import train
from peftcost.methods import get_method


@pytest.mark.parametrize(
    ("method", "choices"),
    [("frozen", {"top_layers": 1}), ("frozen", {"weights": "bf16", "precision": "bf16"}), ("bitfit", {}), ("full", {})],
)
def test_the_trained_tensors_become_the_artifact(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, choices: dict[str, object]
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 1e-2, **choices}, 64)  # type: ignore[dict-item]
    info, folder = load_dataset_info(Path(prepared)), tmp_path / "model"
    result = train(TrainJob(prepared, setup, 3, str(tmp_path), whole=False), NullReporter())
    kept = {name: p.clone() for name, p in load_artifact(folder, setup, info, 9)[0].named_parameters()}
    if method != "full":
        assert result["artifact_bytes"] < 0.5 * 4 * result["total_parameters"]
    write_whole({"prepared": prepared, "setup": setup.as_dict(), "seed": 3, "out": str(tmp_path)}, NullReporter())
    again = dict(load_artifact(folder, setup, info, 9)[0].named_parameters())
    plain = dict(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).named_parameters())
    for name, tensor in kept.items():
        assert torch.equal(again[name], tensor) and again[name].dtype == tensor.dtype, name
        assert torch.equal(plain[name], tensor.float()), name
