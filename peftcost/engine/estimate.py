"""What setups will need on a GPU, known before one is held: no weights are loaded and no device is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from peftcost.core.setup import ATTENTION
from peftcost.cost.machines import needed_bytes
from peftcost.data.features import Split
from peftcost.engine.attention import others_worth_timing
from peftcost.engine.dataset import DatasetInfo, load_dataset_info, load_split
from peftcost.engine.fitting import fitted, job_estimate, longest_row
from peftcost.engine.job import Reporter, TrainJob
from peftcost.engine.precision import on_gpu
from peftcost.errors import DoesNotFit, SetupFailed
from peftcost.methods import get_method

KIND = "cuda"


def estimate(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: jobs (TrainJobs as dicts), computes_in_bf16 (of the GPU).

    Returns {"estimates": one for each job}: {"job": with the precision that suits the GPU, what it takes to fit, its
    `predicted_peak_bytes`, and the `attentions` to time}, or {"reason": why it cannot run there}.
    """
    reporter.phase("plan")
    return {"estimates": [estimated(TrainJob.from_dict(raw), payload["computes_in_bf16"]) for raw in payload["jobs"]]}


def estimated(job: TrainJob, computes_in_bf16: bool) -> dict[str, Any]:
    choices = {**job.setup.hyperparameters, **on_gpu(get_method(job.setup.method), computes_in_bf16)}
    wanted = replace(job, setup=replace(job.setup, hyperparameters=choices))
    folder = Path(job.prepared)
    info, train = load_dataset_info(folder), load_split(folder, "train")
    try:
        fitting, peak_bytes = fitted(wanted, info, train, KIND)
    except (DoesNotFit, SetupFailed) as error:
        return {"reason": str(error)}
    attentions = others_worth_timing(
        fitting.setup.hyperparameters,
        longest_row(fitting, info, train),
        info.task_type.keeps_places and not get_method(job.setup.method).virtual_tokens(choices),
        peak_bytes,
        lambda attention: peak_bytes_with(attention, fitting, info, train),
    )
    return {"job": replace(fitting, predicted_peak_bytes=peak_bytes, attentions=attentions).as_dict()}


def peak_bytes_of(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: a TrainJob as dict, which is to be trained on a GPU as it is. Returns its {"peak_bytes"}."""
    job = TrainJob.from_dict(payload)
    folder = Path(job.prepared)
    estimate = job_estimate(job, load_dataset_info(folder), load_split(folder, "train"), KIND)
    return {"peak_bytes": estimate(job.setup.hyperparameters).peak_bytes}


def peak_bytes_with(attention: str, job: TrainJob, info: DatasetInfo, train: Split) -> int | None:
    """With attention computed in this way; None where it does not fit, or where no estimate can be made."""
    choices = {**job.setup.hyperparameters, ATTENTION: attention}
    try:
        peak_bytes = job_estimate(job, info, train, KIND)(choices).peak_bytes
    except Exception:  # whatever a stranger's model does under fake tensors
        return None
    return peak_bytes if not job.memory_bytes or needed_bytes(peak_bytes, KIND) <= job.memory_bytes else None
