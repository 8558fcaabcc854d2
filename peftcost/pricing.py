"""`peftcost plan`: what each method would take, before anything is paid. No weights are read, no device is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftcost.core.budget import parse_budget
from peftcost.core.setup import Scalar, Setup
from peftcost.core.statistics import CONFIRM_SEEDS
from peftcost.cost.device import Device, choose_devices
from peftcost.cost.machines import Machine, find_machine, needed_bytes
from peftcost.cost.model import CostModel, Probe
from peftcost.cost.rates import Rates
from peftcost.data.fingerprint import model_config_folder, model_fingerprint, resolve_model
from peftcost.engine.job import NullReporter, prepare_payload
from peftcost.errors import DoesNotFit, SetupFailed, UserError
from peftcost.methods import get_method
from peftcost.searcher.config import DEFAULT_CONFIG
from peftcost.searcher.decide import references_of
from peftcost.searcher.planner import costs_per_trial
from peftcost.searcher.spec import methods_named, methods_of
from peftcost.searcher.stops import choose_stops, needs_of
from peftcost.task.splits import load_task_data
from peftcost.task.task import Task, load_task
from peftcost.tasks import TaskType, get_task_type

if TYPE_CHECKING:
    from peftcost.engine.step_estimate import StepEstimate

ROWS, TOKENS, LABELS = 10_000, 128, 2
"""What is assumed of the data when only a model is given."""
STARTUP_SECONDS = 1.0
"""Loading a base, when nothing was measured yet."""


@dataclass(frozen=True)
class PlannedSetup:
    """What one setup would take. parts sum to peak_bytes; needed_bytes is what the device must have free for it.

    gpu_seconds: of one epoch. would_fit_with: the choices that make it fit, None when it fits or nothing helps.
    reason: why it cannot be trained at all, or None.
    """

    method: str
    hyperparameters: Mapping[str, Scalar]
    trainable_parameters: int = 0
    total_parameters: int = 0
    peak_bytes: int = 0
    needed_bytes: int = 0
    parts: Mapping[str, int] = field(default_factory=dict)
    flops_per_step: float = 0.0
    seconds_per_step: float = 0.0
    gpu_seconds: float = 0.0
    price: float | None = None
    fits: bool = False
    would_fit_with: Mapping[str, Scalar] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Plan:
    """The setups, cheapest first, and what a budget buys a search: the longest length at which every method that it tries and
    that fits can be measured and the contenders confirmed, and how many setups that makes."""

    model: str
    device: str
    memory_bytes: int
    batch_size: int
    tokens: int
    rows: int
    setups: list[PlannedSetup]
    buys: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Subject:
    """What is to be trained: the model's configuration and the shape of the data, in tokens. positions: the longest input
    that the model takes."""

    model: str
    config: Any
    task_type: TaskType
    n_labels: int
    positions: int
    longest: int
    usual: int
    rows: int
    dev_rows: int
    test_rows: int


@dataclass(frozen=True)
class Target:
    """What it is to be trained on."""

    name: str
    kind: str
    memory_bytes: int
    rates: Callable[[str], Rates]
    computes_in_bf16: bool


def plan(
    task: Task | str | Path | None = None,
    *,
    model: str | None = None,
    device: str = "this",
    budget: str | None = None,
    price: float | None = None,
    methods: Sequence[str] | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    rows: int | None = None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Plan:
    """Predict memory, time and cost of every method on this device, from the model's configuration alone.

    task: as for `search`; without one, model and assumed data (rows, max_length tokens each). device: "this", "cpu",
    a published one ("h100", "a100-80gb", "rtx4090", "t4") or a YAML file. UserError for what is not right.
    """
    if batch_size is not None and batch_size < 1:
        raise UserError(f"--batch-size {batch_size} is no batch; give at least 1.")
    if rows is not None and rows < 1:
        raise UserError(f"--rows {rows} is no data; give at least 1.")
    limit = parse_budget(budget, price).limit_gpu_seconds(1) if budget is not None else None
    machine = None if device in ("this", "cpu") else find_machine(device)
    names = methods_named(methods or "all")
    loaded = load_task(task) if isinstance(task, str | Path) else task
    subject = task_subject(loaded, max_length) if loaded is not None else model_subject(model, max_length, rows)
    target = machine_target(machine) if machine is not None else target_here(device, on_progress)
    setups = []
    for name in names:
        on_progress(f"predicting {name}")
        setups += [planned(subject, target, name, choices, price) for choices in typical(name, batch_size, target)]
    setups.sort(key=lambda s: (s.reason is not None, not s.fits, s.gpu_seconds))
    batch = int(setups[0].hyperparameters["batch_size"] or 1)
    tried = methods_of(loaded, methods)
    buys = what_it_buys(subject, [s for s in setups if s.method in tried], limit) if limit is not None else None
    return Plan(subject.model, target.name, target.memory_bytes, batch, subject.longest, subject.rows, setups, buys)


def typical(method: str, batch_size: int | None, target: Target) -> list[dict[str, Scalar]]:
    """The prior-best choices, in the precision that suits a GPU, and beside them a typical larger variant: rank 32, or two
    layers on top."""
    from peftcost.engine.precision import on_gpu

    suited = on_gpu(get_method(method), target.computes_in_bf16) if target.kind == "cuda" else {}
    batch: dict[str, Scalar] = {} if batch_size is None else {"batch_size": batch_size, "micro_batch_size": batch_size}
    prior = get_method(method).prior()
    variants: list[dict[str, Scalar]] = [{}]
    if "dora" in prior:
        variants.append({"rank": 32})
    if prior.get("top_layers") == 0:
        variants.append({"top_layers": 2})
    return [dict(Setup.of(method, {**prior, **suited, **batch, **variant}, 0).hyperparameters) for variant in variants]


def task_subject(task: Task, max_length: int | None) -> Subject:
    """From a task: its data is read and tokenized, its model's weights are not loaded."""
    from transformers import AutoConfig

    from peftcost.engine.dataset import batches_of_epoch, load_dataset_info, load_split, padded_tokens
    from peftcost.engine.prepare import prepare

    if max_length is not None:
        task = task.model_copy(update={"max_length": checked_length(max_length, None)})
    data = load_task_data(task, 0)
    folder = resolve_model(task.only_model)
    payload = prepare_payload(task, 0, str(folder), model_fingerprint(folder))
    prepared = Path(prepare(payload, NullReporter())["prepared"])
    train, info = load_split(prepared, "train"), load_dataset_info(prepared)
    checked_length(max_length, info.max_positions)
    batches = batches_of_epoch(train.lengths, 16, 0, 0)
    return Subject(
        model=task.only_model,
        config=AutoConfig.from_pretrained(folder),
        task_type=data.task_type,
        n_labels=len(data.labels),
        positions=info.max_positions,
        longest=int(train.lengths.max()),
        usual=max(1, round(padded_tokens(train, batches) / len(train))),
        rows=len(data.train),
        dev_rows=len(data.dev),
        test_rows=len(data.test),
    )


def model_subject(model: str | None, max_length: int | None, rows: int | None) -> Subject:
    """From a model alone, which may be no more than its config.json."""
    if model is None:
        raise UserError("There is nothing to plan for: give --task (or write a task.yaml with init), or --model.")
    from transformers import AutoConfig

    from peftcost.engine.prepare import max_positions

    folder = model_config_folder(model)
    try:
        config = AutoConfig.from_pretrained(folder)
    except (ValueError, KeyError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}/config.json is no model that transformers can build: {reason}") from error
    positions = max_positions(str(folder))
    tokens = checked_length(max_length, positions) or min(TOKENS, positions)
    n = rows or ROWS
    return Subject(model, config, get_task_type("text-classification"), LABELS, positions, tokens, tokens, n, n // 5, n // 5)


def checked_length(max_length: int | None, positions: int | None) -> int | None:
    if max_length is not None and max_length < 1:
        raise UserError(f"--max-length {max_length} leaves nothing of the inputs; give at least 1.")
    if max_length is not None and positions is not None and max_length > positions:
        raise UserError(f"--max-length {max_length} is above the model's maximum of {positions} tokens; give at most that.")
    return max_length


def machine_target(machine: Machine) -> Target:
    return Target(machine.name, machine.kind, machine.memory_bytes, machine.rates, "bf16" in machine.flops_per_second)


def target_here(wanted: str, on_progress: Callable[[str], None]) -> Target:
    """This machine's device, measured if it was not yet."""
    from peftcost.engine.calibrate import rates_here
    from peftcost.engine.worker import configure_process

    device: Device = choose_devices("cpu" if wanted == "cpu" else None)[0]
    configure_process(device)
    rates = rates_here(device, lambda: on_progress("measuring how fast this machine is (less than a minute, once)"))
    return Target(device.name, device.kind, device.memory_bytes, lambda precision: rates, device.computes_in_bf16)


def planned(subject: Subject, target: Target, method: str, choices: dict[str, Scalar], price: float | None) -> PlannedSetup:
    """One setup estimated: on the longest rows for memory, on usual ones for time."""
    from peftcost.engine.fitting import estimate_of, fit_to

    unsupported_reason = get_method(method).unsupported_reason(subject.config, target.kind)
    if unsupported_reason is not None:
        return PlannedSetup(method, choices, reason=unsupported_reason)

    room = subject.positions - get_method(method).virtual_tokens(choices)
    longest, often = min(subject.longest, room), min(subject.usual, room)

    def estimate(some: Mapping[str, Scalar], tokens: int = longest) -> StepEstimate:
        return estimate_of(subject.config, subject.task_type, method, some, tokens, subject.n_labels, target.kind)

    changes: dict[str, Scalar] | None = None
    try:
        found = estimate(choices)
        usual = found if often == longest else estimate(choices, often)
        with contextlib.suppress(DoesNotFit):
            fitting, _ = fit_to(target.memory_bytes, target.kind, choices, found, estimate)
            changes = {key: value for key, value in fitting.items() if value != choices[key]}
    except SetupFailed as error:
        return PlannedSetup(method, choices, reason=str(error))
    except Exception as error:  # whatever a stranger's model does under fake tensors: the other methods are planned
        return PlannedSetup(method, choices, reason=f"no estimate can be made ({type(error).__name__}: {error})"[:300])
    seconds = target.rates(str(choices["precision"])).seconds(usual.work)
    gpu_seconds = seconds * -(-subject.rows // int(choices["batch_size"] or 1))
    return PlannedSetup(
        method=method,
        hyperparameters=choices,
        trainable_parameters=found.trainable_parameters,
        total_parameters=found.total_parameters,
        peak_bytes=found.peak_bytes,
        needed_bytes=needed_bytes(found.peak_bytes, target.kind),
        parts=found.parts,
        flops_per_step=usual.work.flops,
        seconds_per_step=seconds,
        gpu_seconds=gpu_seconds,
        price=None if price is None else gpu_seconds / 3600 * price,
        fits=changes == {},
        would_fit_with=changes or None,
    )


def what_it_buys(subject: Subject, setups: Sequence[PlannedSetup], limit_gpu_seconds: float) -> dict[str, Any]:
    """The length and the number of trainings that a search of this budget comes to; each method's first setup counts."""
    first = {s.method: s for s in reversed(setups) if s.reason is None and (s.fits or s.would_fit_with)}
    if not first:
        return {"stop_examples": 0, "epochs": 0.0, "methods": [], "setups": 0, "confirmations": 0}
    forward = min(s.gpu_seconds for s in first.values()) / subject.rows  # the cheapest method is hardly more than that
    probes = {
        name: Probe(
            STARTUP_SECONDS, s.gpu_seconds / subject.rows, forward, s.peak_bytes, s.trainable_parameters, s.total_parameters
        )
        for name, s in first.items()
    }
    cost = CostModel(probes, subject.dev_rows, subject.test_rows, subject.rows)
    safety = DEFAULT_CONFIG.safety
    left = limit_gpu_seconds - safety * cost.closing_seconds()
    batch_size = int(next(iter(first.values())).hyperparameters["batch_size"] or 1)
    references = references_of(list(probes), [min(probes, key=lambda n: first[n].gpu_seconds)])
    costs = costs_per_trial(cost, {name: Setup.of(name, {}, 0) for name in probes}, references)
    stops = choose_stops(subject.rows, batch_size, costs, left)
    stop = stops[-1]
    trials = {name: cost.predict(Setup.of(name, {}, stops[0])).trial_seconds for name in probes}
    paid: list[str] = []
    for name in sorted(trials, key=lambda n: trials[n]):
        if safety * (sum(trials[n] for n in paid) + trials[name]) <= left:
            paid.append(name)
    more = max(0.0, left - needs_of(stops, costs))
    mean = sum(trials.values()) / len(trials)
    longest = max(cost.predict(Setup.of(name, {}, stop)).trial_seconds for name in probes)
    return {
        "stop_examples": stop,
        "epochs": stop / subject.rows,
        "methods": paid,
        "setups": len(paid) + int(more / (safety * mean)),
        "confirmations": min(CONFIRM_SEEDS * DEFAULT_CONFIG.reserved_contenders, int(left / longest)),
    }
