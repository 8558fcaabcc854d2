"""The worker's job of training several LoRA setups over one pass of the base, and measuring each as if it were alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from peftcost.core.memory import folder_bytes
from peftcost.cost.contention import ForeignLoad
from peftcost.cost.meter import Stopwatch, process_peak_bytes, reset_peaks
from peftcost.engine.adapter_train_state import ONLY, AdapterTrainState, build_together, optimizer_of
from peftcost.engine.artifact import save_artifact
from peftcost.engine.checkpoint import keep_only
from peftcost.engine.dataset import DatasetInfo, Split, load_dataset_info, load_split
from peftcost.engine.evaluate import latency_seconds, measure_dev
from peftcost.engine.fitting import device_kind, job_estimate
from peftcost.engine.job import NullReporter, Reporter, TrainJob
from peftcost.engine.messages import Measured, Message, Unmeasured
from peftcost.engine.moved import check_moved
from peftcost.engine.pack import CostAlone, Member, Pack
from peftcost.engine.packed_lora import keeps_rows_apart
from peftcost.engine.schedule import plan_steps
from peftcost.engine.sharing import can_share
from peftcost.engine.source import forward
from peftcost.engine.step_times import step_times
from peftcost.engine.train import Loop
from peftcost.errors import SetupFailed
from peftcost.methods.peft_method import name_base

WARM_STEPS, TIMED_STEPS = 2, 5
"""Of one member alone, before the pack begins."""


@runtime_checkable
class Sends(Protocol):
    """A reporter that takes messages as they are."""

    def send(self, message: Message) -> None: ...


def train_pack(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """payload: {"jobs": TrainJobs as dicts}, of setups that can share (`sharing.can_share`) and of the same prepared data.

    Returns {"members": one for each job}: {"member": its number, "result": the fields of a `Measurement` (less role)}, or
    {"member", "reason", "fault"} of one that failed. Each is sent, too, as soon as it is known, as `Measured` or
    `Unmeasured`.
    """
    reporter.phase("startup")
    began = time.perf_counter()
    jobs = [TrainJob.from_dict(raw) for raw in payload["jobs"]]
    check_jobs(jobs)
    folder = Path(jobs[0].prepared)
    info, split, dev = load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "dev")
    members = members_of(jobs, info, split, dev, reporter)
    check_base(members)
    there = [member.train_state for member in members]
    startup_seconds = time.perf_counter() - began - there[0].quantizing_seconds
    reporter.phase("plan")
    peaks = peaks_alone(jobs, info, split)
    cost = cost_alone(members[0])
    pack, told = Pack(members, cost), []
    torch.manual_seed(jobs[0].seed)
    reset_peaks(pack.device)
    while pack.members:
        reporter.phase("train")
        for member in pack.run():
            there.remove(member.train_state)
            outcome = measured(member, info, there, reporter)
            if "result" in outcome:
                outcome["result"] |= {
                    "startup_seconds": startup_seconds,
                    "peak_bytes": peaks[member.number],
                    "cost_basis": "measured" if member.number == 0 else "imputed",
                }
            told.append(outcome)
            if isinstance(reporter, Sends):
                reporter.send(Measured(**outcome) if "result" in outcome else Unmeasured(**outcome))
    return {"members": sorted(told, key=lambda outcome: outcome["member"])}


def members_of(jobs: Sequence[TrainJob], info: DatasetInfo, split: Split, dev: Split, reporter: Reporter) -> list[Member]:
    """On one base, each as far as its checkpoints are."""
    plans = [plan_steps(job.setup, len(split)) for job in jobs]
    steps = [plan.total_steps for plan in plans]
    train_states = build_together([job.setup for job in jobs], [job.seed for job in jobs], info, steps)
    return [
        Member(number, job, train_state, split, dev, plan, reporter)
        for number, (job, train_state, plan) in enumerate(zip(jobs, train_states, plans, strict=True))
    ]


def check_base(members: Sequence[Member]) -> None:
    """SetupFailed where the base mixes its rows, so that one member would train on those of another."""
    first = members[0].train_state
    config: Any = first.plain.config
    two_rows = first.collator.two_rows(config).to(first.device)
    adapters = [member.train_state.adapter for member in members[:2]]
    if len(adapters) == 2 and not keeps_rows_apart(first.plain, adapters, lambda: forward(first.model, two_rows)):
        raise SetupFailed(f"{config.model_type} mixes the rows of a batch, so its adapters are trained one by one")


def check_jobs(jobs: Sequence[TrainJob]) -> None:
    """ValueError when these jobs are no pack."""
    reason = can_share([job.setup for job in jobs])
    if len({job.prepared for job in jobs}) > 1:
        reason = "their data differ"
    if any(job.early_stopping_patience is not None for job in jobs):
        reason = "early stopping evaluates one setup on its way"
    if reason is not None:
        raise ValueError(f"these {len(jobs)} jobs cannot be trained over one pass of the base: {reason}; train them apart.")


def peaks_alone(jobs: Sequence[TrainJob], info: DatasetInfo, split: Split) -> list[int]:
    """`peak_bytes` of each job by itself, as predicted: in a pack it cannot be measured."""
    known = {job.setup.memory_key: job.predicted_peak_bytes for job in jobs if job.predicted_peak_bytes}
    for job in jobs:
        if job.setup.memory_key not in known:
            known[job.setup.memory_key] = job_estimate(job, info, split, device_kind())(job.setup.hyperparameters).peak_bytes
    return [known[job.setup.memory_key] for job in jobs]


def cost_alone(member: Member) -> CostAlone:
    """What a token costs in a training of this member alone, from a few steps at rate 0, which change nothing."""
    split, job, train_state = member.split, member.job, member.train_state
    still = {**train_state.choices, "learning_rate": 0.0}
    alone = replace(train_state, choices=still, optimizer=optimizer_of(train_state.trained, still, train_state.device))
    loop = Loop(job, NullReporter(), alone, split, member.dev, member.plan)
    alone.activate()
    alone.model.train()
    foreign, times = ForeignLoad(), step_times(loop)
    return CostAlone(times.step / times.tokens, times.frozen / times.tokens, times.fixed, foreign.contended())


def measured(member: Member, info: DatasetInfo, beside: Sequence[AdapterTrainState], reporter: Reporter) -> dict[str, Any]:
    """Evaluate and save a member that leaves, as the model that would be deployed: PEFT's, with its adapter alone.

    beside: the others whose adapters are still there.
    """
    train_state = member.train_state
    try:
        if member.failure is not None:
            raise SetupFailed(member.failure)
        result = _measured(member, info, beside, reporter)
    except SetupFailed as error:
        return {"member": member.number, "reason": str(error), "fault": "setup"}
    finally:
        if beside:
            beside[0].activate()
            train_state.plain.delete_adapter(train_state.adapter)  # type: ignore[operator]
    return {"member": member.number, "result": result}


def _measured(member: Member, info: DatasetInfo, beside: Sequence[AdapterTrainState], reporter: Reporter) -> dict[str, Any]:
    train_state, job, dev = member.train_state, member.job, member.dev
    model, device, out = train_state.model, train_state.device, Path(job.out)
    process_peak = process_peak_bytes(device)
    check_moved(member.before, train_state)
    reporter.phase("evaluate")
    watch = Stopwatch(device)
    train_state.activate()
    on_dev = measure_dev(job, info, model, dev, train_state.collator)
    evaluation_seconds = watch.lap()
    reporter.phase("checkpoint")
    save_artifact(lambda _, folder: save_adapter(train_state, folder), train_state.plain, out / "model")
    reporter.phase("measure")
    trainable, total = train_state.count(beside)
    result = {
        **on_dev,
        "train_loss": member.train_loss,
        "gpu_seconds": member.gpu_seconds,
        "evaluation_seconds": evaluation_seconds,
        "process_peak_bytes": process_peak,
        "latency_seconds": latency_seconds(model, dev, train_state.collator, device),
        "artifact_bytes": folder_bytes(out / "model"),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "contended": member.contended,
        "energy_joules": member.energy_joules,
    }
    keep_only(member.chain, {member.plan.stable_steps})
    return result


def save_adapter(train_state: AdapterTrainState, folder: Path) -> None:
    """Write the artifact that the train state's method saves, of its adapter alone."""
    train_state.plain.save_pretrained(folder, selected_adapters=[train_state.adapter])  # type: ignore[operator]
    if train_state.adapter != ONLY:  # PEFT puts it into a folder of its own
        inner = folder / train_state.adapter
        for file in inner.iterdir():
            os.replace(file, folder / file.name)
        inner.rmdir()
    name_base(folder / "adapter_config.json")
