"""What setups will need on a GPU, known before one is held: no weights are loaded and no device is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.fitting import fitted
from peftcost.engine.job import Reporter, TrainJob
from peftcost.engine.precision import on_gpu
from peftcost.errors import DoesNotFit, SetupFailed
from peftcost.methods import get_method


def estimate(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: jobs (TrainJobs as dicts), computes_in_bf16 (of the GPU).

    Returns {"estimates": one for each job}: {"job": with the precision that suits the GPU, what it takes to fit, and its
    `predicted_peak_bytes`}, or {"reason": why it cannot run there}.
    """
    reporter.phase("plan")
    return {"estimates": [estimated(TrainJob.from_dict(raw), payload["computes_in_bf16"]) for raw in payload["jobs"]]}


def estimated(job: TrainJob, computes_in_bf16: bool) -> dict[str, Any]:
    choices = {**job.setup.hyperparameters, **on_gpu(get_method(job.setup.method), computes_in_bf16)}
    wanted = replace(job, setup=replace(job.setup, hyperparameters=choices))
    folder = Path(job.prepared)
    try:
        fitting, peak_bytes = fitted(wanted, load_dataset_info(folder), load_split(folder, "train"), "cuda")
    except (DoesNotFit, SetupFailed) as error:
        return {"reason": str(error)}
    return {"job": replace(fitting, predicted_peak_bytes=peak_bytes).as_dict()}
