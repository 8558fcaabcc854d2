"""What a training makes of its dev rows: what its task type fits on them is kept beside the artifact."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from peftcost.engine.dataset import DatasetInfo
from peftcost.tasks.named_metric import metric_of
from peftcost.tasks.targets import targets_from

ROWS, TARGETS = "dev_rows.npy", "targets.json"


def judged(info: DatasetInfo, rows: np.ndarray, out: Path | None = None) -> float:
    """The quality of these dev rows. out: a training's folder, which keeps them, and the targets if something was fitted."""
    metric = metric_of(info.task_type, info.metric, info.metric_options)
    rows, targets = info.task_type.fitted(rows, info.targets, metric)
    if out is not None:
        np.save(out / ROWS, rows)
        if targets != info.targets:
            (out / TARGETS).write_text(json.dumps(targets.as_dict(), ensure_ascii=False), encoding="utf-8")
    return float(metric.compute(rows, np.ones((1, len(rows))))[0])


def as_trained(info: DatasetInfo, out: Path) -> DatasetInfo:
    """The dataset's info with what the training in this folder has fitted."""
    file = out / TARGETS
    if not file.exists():
        return info
    return replace(info, targets=targets_from(json.loads(file.read_text(encoding="utf-8"))))
