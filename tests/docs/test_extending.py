"""The examples of docs/extending do what the pages say: a file in a folder is found, and works."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from peftcost.core.registry import discover
from peftcost.core.setup import Setup
from peftcost.data.readers import read_table
from peftcost.errors import UserError
from peftcost.methods import Method
from peftcost.tasks import TaskType

PAGES = Path(__file__).parent.parent.parent / "docs" / "extending"


def found_in_folder(page: str, base: type, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the page's first example registers, as a file in a package."""
    code = re.search(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    package = folder / base.__name__.lower()
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "own.py").write_text(code[1])
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    (only,) = discover(package.name, [str(package)], base).values()
    return only


def base(folder: Path, n_labels: int) -> torch.nn.Module:
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=n_labels)


def test_the_method_trains_is_saved_and_merges(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = found_in_folder("method.md", Method, tmp_path, monkeypatch)
    choices = Setup.of(method.name, method.prior(), 160).hyperparameters
    model = method.apply(base(tiny_bert, 2), choices, total_steps=1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    inputs = {"input_ids": torch.arange(100, 124).reshape(2, 12), "attention_mask": torch.ones(2, 12, dtype=torch.long)}
    torch.nn.functional.cross_entropy(model(**inputs).logits, torch.tensor([0, 1])).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert any("norm" in name.lower() for name in changed)
    assert any("classifier" in name for name in changed)
    assert all("norm" in name.lower() or "classifier" in name or "pooler" in name for name in changed)

    with torch.inference_mode():
        expected = model.eval()(**inputs).logits
        method.save(model, tmp_path / "saved")
        again = method.load(base(tiny_bert, 2), tmp_path / "saved")
        torch.testing.assert_close(again(**inputs).logits, expected)
        torch.testing.assert_close(method.merge(model).eval()(**inputs).logits, expected)


def test_the_task_type_reads_trains_and_scores(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = found_in_folder("task-type.md", TaskType, tmp_path, monkeypatch)
    file = tmp_path / "reviews.csv"
    file.write_text("review,stars\n" + "".join(f"text {i},{1 + i % 4}\n" for i in range(8)))
    examples = kind.examples(read_table(file), {"text": "review", "rating": "stars"})
    labels = kind.labels(examples)
    assert labels == ["1", "2", "3", "4"]
    model = base(tiny_bert, 4)
    ids, targets = kind.tokenize(AutoTokenizer.from_pretrained(tiny_bert), examples, labels, 16)
    assert len({len(row) for row in ids}) == 1
    logits, wanted = model(input_ids=torch.tensor(ids)).logits, kind.collate_targets(targets, 16)
    loss, n = kind.loss(logits, wanted)
    (loss / n).backward()
    rows, once = kind.predict(logits, wanted, labels), np.ones((1, len(examples)))
    assert 0 <= kind.metrics["accuracy"].compute(rows, once)[0] <= kind.metrics["within_one"].compute(rows, once)[0] <= 1

    file.write_text("review,stars\nfine,good\n")
    with pytest.raises(UserError, match=r"line 2: the rating 'good'"):
        kind.examples(read_table(file), {"text": "review", "rating": "stars"})
