"""Which tokens speak for what a model says: they account for all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from peftcost.core.setup import Setup
from peftcost.engine.artifact import load_artifact
from peftcost.engine.attributions import attribute
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.train import train
from peftcost.engine.train_state import collator_for
from peftcost.methods import get_method

EXAMPLES = [0, 7, 31]


@pytest.mark.parametrize("method", ["lora", "full", "prompt", "nf4-lora"])
def test_scores_sum_to_the_difference_from_an_empty_text(prepared: str, tmp_path: Path, method: str) -> None:
    setup, file = Setup.of(method, get_method(method).prior(), 64), tmp_path / "attributions.json"
    train(TrainJob(prepared, setup, 0, str(tmp_path)), NullReporter())
    payload = {"prepared": prepared, "setup": setup.as_dict(), "seed": 0, "out": str(tmp_path)}
    attribute({**payload, "examples": EXAMPLES, "file": str(file)}, NullReporter())
    info = load_dataset_info(Path(prepared))
    model, _ = load_artifact(tmp_path / "model", setup, info, 0)
    collator = collator_for(info, get_method(method), setup.hyperparameters)
    processor, dev = info.task_type.processor(info.model), load_split(Path(prepared), "dev")
    found = json.loads(file.read_text())
    assert [each["example"] for each in found] == EXAMPLES
    for each in found:
        batch = collator.batch(dev, [each["example"]])
        ids = batch.inputs["input_ids"]
        assert each["tokens"] == processor.convert_ids_to_tokens(ids[0].tolist())
        special = torch.tensor(each["special"])
        assert special.sum() == 2 and special[0] and special[-1]
        empty = torch.where(special, ids, torch.full_like(ids, processor.pad_token_id))
        with torch.inference_mode():
            said, unsaid = (model(**{**batch.inputs, "input_ids": i}).logits[0] for i in (ids, empty))
        assert int(said.argmax()) == each["predicted"]
        assert sum(each["scores"]) == pytest.approx(float((said - unsaid)[each["predicted"]]), abs=0.02)
        assert [score for score, is_special in zip(each["scores"], special, strict=True) if is_special] == [0.0, 0.0]
