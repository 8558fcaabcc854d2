"""Before the search proper: tokenize, probe each method with a few real steps, and choose how long to train."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.core.setup import Scalar, Setup, arm_of, method_of, model_of
from peftcost.core.statistics import CONFIRM_SEEDS, plain_value
from peftcost.cost.model import CostModel, Probe
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Done, failure_of
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.runner.prepare import prepare_data
from peftcost.runner.runner import result_of
from peftcost.searcher import decide
from peftcost.searcher.config import SearchConfig
from peftcost.searcher.controller import Controller
from peftcost.searcher.spec import SearchSpec
from peftcost.searcher.state import SearchState
from peftcost.searcher.stops import choose_stops, ladder, reaching_beyond
from peftcost.store.study import Spaces
from peftcost.task.splits import TaskData


def prepare_all(controller: Controller, spec: SearchSpec) -> dict[str, str]:
    """The folder of the tokenized data by base."""
    return {name: prepare_data(controller, asked) for name, asked in spec.bases.items()}


def plan(controller: Controller, spec: SearchSpec, most_gpu_seconds: float = math.inf) -> dict[str, str]:
    """Prepare, acquire the devices, probe and choose the length; recorded as `planned`, with the config. Returns the folders
    of the prepared data, by base. most_gpu_seconds: for probing; a share of the budget, if that is less.

    UserError when no method runs here, or when the budget cannot buy even one setup.
    """
    prepared, config = prepare_all(controller, spec), controller.state.config
    most = min(most_gpu_seconds, config.planning_share * controller.books.limit_gpu_seconds)
    probed, infeasible, unprobed = probe_arms(controller, spec, prepared, most)
    probed |= {arm: presumed(arm, probed) for arm in unprobed}
    data, ranks = spec.data, len(controller.executor.slots[0].devices)
    cost = cost_model(spec, probed, ranks)
    epoch_seconds = {arm: probe.training_seconds(len(data.train), len(data.train)) for arm, probe in probed.items()}
    by_base = {model_of(arm): [other for other in probed if model_of(other) == model_of(arm)] for arm in probed}
    cheapest = [min(arms, key=lambda arm: epoch_seconds[arm]) for arms in by_base.values()]
    references = decide.references_of(list(probed), cheapest)
    controller.record(
        "planned",
        config=config.as_dict(),
        probes={name: probe.as_dict() for name, probe in probed.items()},
        infeasible=infeasible,
        methods=list(dict.fromkeys([*references, *probed])),
        references=references,
        stops=choose_length(controller, cost, references),
        dev_sample=config.explore_dev_rows if len(data.dev) > config.explore_dev_rows else None,
        train_rows=len(data.train),
        dev_rows=len(data.dev),
        test_rows=len(data.test),
        ranks=ranks,
        floor=floor_of(data),
        limits=[limit if math.isfinite(limit) else None for limit in data.metric.limits],
    )
    return prepared


def floor_of(data: TaskData) -> float | None:
    """What the simplest baseline reaches on dev: who is no better has not begun to learn. None where there is none."""
    rows = data.simplest_rows
    return None if rows is None else plain_value(rows, data.metric.compute)


def presumed(arm: str, probed: Mapping[str, Probe]) -> Probe:
    """Of an arm that was not probed: the dearest probe, on its base if there is one. Its first training will correct it."""
    own = [probe for other, probe in probed.items() if model_of(other) == model_of(arm)]
    return max(own or probed.values(), key=lambda probe: probe.seconds_per_example)


def cost_model(spec: SearchSpec, probed: Mapping[str, Probe], ranks: int) -> CostModel:
    """What the probes let expect on the task's rows. ranks: how many devices train a setup together."""
    data = spec.data
    return CostModel(dict(probed), len(data.dev), len(data.test), len(data.train), ranks)


def priors(arms: Sequence[str], stop_examples: int, probes: Mapping[str, Probe] | None = None) -> dict[str, Setup]:
    """Each arm's prior-best setup, with what its probe found necessary to fit the device."""
    fitting = {arm: probe.fitting() for arm, probe in (probes or {}).items()}
    found = {}
    for arm in arms:
        model = model_of(arm)
        base: dict[str, Scalar] = {} if model is None else {"model": model}
        method = get_method(method_of(arm))
        found[arm] = Setup.of(method.name, {**method.prior(), **fitting.get(arm, {}), **base}, stop_examples)
    return found


def starting_points(state: SearchState, plain: Mapping[str, Setup], spaces: Spaces) -> dict[str, list[Setup]]:
    """By arm: its prior-best setup, then those of recipes, as long as they say, then the best of earlier runs. Only what the
    method's space names is taken over from these, since batch, precision and the like suit the device."""
    points = {}
    for name, setup in plain.items():
        keys = spaces[name]
        taken_over = [
            replace(e, hyperparameters={**setup.hyperparameters, **{key: e.hyperparameters[key] for key in keys}})
            for e in (*state.recipe_setups, *(e.until(setup.stop_examples) for e in state.earlier))
            if e.method == setup.method and keys.keys() <= e.hyperparameters.keys()
        ]
        points[name] = list(dict.fromkeys([setup, *taken_over]))[: 1 + state.config.most_prior_setups]
    return points


def probe_arms(
    controller: Controller, spec: SearchSpec, prepared: Mapping[str, str], most_gpu_seconds: float
) -> tuple[dict[str, Probe], dict[str, str], list[str]]:
    """Acquire the devices and try a few steps of each arm, in the order of funding: probes of those that run here, why others
    do not, and those that are left when probing one more would take it beyond `most_gpu_seconds`. prepared: by base.

    UserError when none runs here, or as soon as the first probe shows that the budget cannot buy even one setup.
    """
    several = len(prepared) > 1
    names = sorted(spec.methods, key=lambda name: get_method(name).priority)
    arms = [arm_of(name, model if several else None) for name in names for model in prepared]
    probed: dict[str, Probe] = {}
    slots, ranks = controller.executor.slots, len(controller.executor.slots[0].devices)
    with tempfile.TemporaryDirectory(prefix="peftcost-probe-") as out:
        jobs = {}
        for number, (arm, setup) in enumerate(priors(arms, controller.state.config.probe_examples).items()):
            memory_bytes = min(device.memory_bytes for device in controller.executor.devices)
            folder = prepared[model_of(arm) or next(iter(prepared))]
            job = TrainJob(folder, setup, spec.seed, str(Path(out) / str(number)), memory_bytes=memory_bytes, ranks=ranks)
            jobs[arm] = job.as_dict()
        jobs, infeasible = estimated(controller, jobs)
        check_before_probing(controller, spec, prepared, arms)
        controller.acquire()
        waiting, dearest = list(jobs), 0.0
        while waiting:
            before, batch = controller.spent(), waiting[: len(slots)]
            if probed and before + dearest > most_gpu_seconds:
                break
            for arm, message in zip(batch, controller.run_all("probe", [jobs[arm] for arm in batch]), strict=True):
                if isinstance(message, Done):
                    probed[arm] = Probe(**message.result)
                    jobs |= attending_alike(jobs, arm, waiting[len(batch) :], probed[arm].attention)
                else:
                    infeasible[arm] = failure_of(message)
            if probed and not dearest:
                check_one_can_be_paid(controller, cost_model(spec, probed, ranks), CHEAPER_YET)
            waiting, dearest = waiting[len(batch) :], max(dearest, controller.spent() - before)
    if not probed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in infeasible.items())
        raise UserError(
            f"None of the methods can train {' or '.join(prepared)} here. {reasons} "
            "Choose other --methods or another model; docs/methods.md has the table."
        )
    return probed, infeasible, waiting


def estimated(controller: Controller, jobs: dict[str, dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The jobs as they fit a GPU, and why others do not, found on no bill. On a CPU, which is the device itself, the probe
    does it."""
    device = controller.executor.devices[0]
    if device.kind != "cuda":
        return jobs, {}
    payload = {"jobs": list(jobs.values()), "computes_in_bf16": device.computes_in_bf16}
    found = result_of("estimate", controller.run_aside("estimate", payload), controller.executor.log)["estimates"]
    by_arm = dict(zip(jobs, found, strict=True))
    fitting = {arm: one["job"] for arm, one in by_arm.items() if "job" in one}
    return fitting, {arm: one["reason"] for arm, one in by_arm.items() if "reason" in one}


def attending_alike(
    jobs: Mapping[str, dict[str, Any]], arm: str, waiting: Sequence[str], attention: str | None
) -> dict[str, dict[str, Any]]:
    """The jobs that wait, with the attention that was measured to be fastest for this arm: of one base and with the same ones
    to choose from, once is enough."""
    choice = jobs[arm]["attentions"].keys()
    alike = [other for other in waiting if choice and model_of(other) == model_of(arm)]
    return {
        other: TrainJob.from_dict(jobs[other]).with_attention(attention).as_dict()
        for other in alike
        if jobs[other]["attentions"].keys() == choice
    }


def check_before_probing(controller: Controller, spec: SearchSpec, prepared: Mapping[str, str], arms: Sequence[str]) -> None:
    """UserError where the budget cannot buy even one setup at the least time that its examples can take, found on no bill.

    Of CPUs, where the first probe alone may take longer than a small budget; on a GPU it takes seconds."""
    device = controller.executor.devices[0]
    if device.kind != "cpu" or math.isinf(controller.books.limit_gpu_seconds):
        return
    probes = {}
    for model, folder in prepared.items():
        message = controller.run_aside("least_time", {"prepared": folder, "threads": device.threads})
        seconds = result_of("least_time", message, controller.executor.log)["forward_seconds"]
        arm = next(arm for arm in arms if model_of(arm) in (model, None))
        probes[arm] = Probe(0.0, seconds, seconds, 0, 0, 0)
    check_one_can_be_paid(controller, cost_model(spec, probes, 1), is_bound=True)


def choose_length(controller: Controller, cost: CostModel, references: Sequence[str]) -> list[int]:
    """The stops that the budget pays for; UserError when it pays for none."""
    check_one_can_be_paid(controller, cost)
    rows, batch_size, config = cost.train_rows, largest_batch(list(cost.probes)), controller.state.config
    chosen = choose_stops(rows, batch_size, payable(controller, cost, references), config)
    return reaching_beyond(chosen, rows, lambda stop: stop in chosen, config)


def lengthen(controller: Controller) -> None:
    """With more budget there may be longer stops: recorded as `lengthened`."""
    state = controller.state
    is_payable = payable(controller, state.cost, state.references)
    stops = reaching_beyond(state.stops, state.cost.train_rows, lambda stop: is_payable([stop]), state.config)
    if stops != state.stops:
        controller.record("lengthened", stops=stops)


def payable(controller: Controller, cost: CostModel, references: Sequence[str]) -> Callable[[Sequence[int]], bool]:
    """Whether what is left pays for a search with these stops, its test included."""
    config = controller.state.config
    left = controller.left_after(config.safety * cost.closing_seconds())
    return lambda stops: needs_of(stops, cost, references, config) <= left


def largest_batch(arms: Sequence[str]) -> int:
    """Of the arms' prior-best setups: the first stop has `fewest_steps` steps of each."""
    return max(int(setup.hyperparameters["batch_size"] or 1) for setup in priors(arms, 0).values())


OF_A_BOUND = 3
"""Times the least that a setup takes, a budget pays for it (measured: 7 s at least, 18 in truth)."""
CHEAPER_YET = 0.5
"""Of the first method's cost: after `frozen`, which goes first where it can be trained, no method takes less."""


def check_one_can_be_paid(controller: Controller, cost: CostModel, share: float = 1.0, is_bound: bool = False) -> None:
    """UserError where not even this share of the cost model's cheapest setup can be paid: its first stop and its test.
    is_bound: the model knows what it takes at least, which is far less than what it takes."""
    config = controller.state.config
    closing = config.safety * cost.closing_seconds()
    first = min(cost.train_rows, config.fewest_steps * largest_batch(list(cost.probes)))
    cheapest = min(priors(list(cost.probes), first).values(), key=lambda setup: cost.predict(setup).trial_seconds)
    trial_seconds, left = config.safety * cost.predict(cheapest).trial_seconds, controller.left_after(closing)
    if share * trial_seconds > left:
        gone = controller.spent() + closing
        needs = gone + trial_seconds
        how_sure, times = ("at least", OF_A_BOUND) if is_bound else ("about", config.safety)
        raise UserError(
            f"The budget of {format_seconds(gone + left)} of device time is too small: even the cheapest setup "
            f"({cheapest.method}) with planning and test needs {how_sure} {format_seconds(needs)}; "
            f"say --budget {math.ceil(needs * times)}gpu-s or more. A shorter max_length or fewer dev and test rows "
            "make it smaller."
        )


def needs_of(stops: Sequence[int], cost: CostModel, references: Sequence[str], config: SearchConfig) -> float:
    """gpu-seconds of the references from stop to stop, of the other methods at the first, and of confirming the dearest
    references."""
    total, confirming = 0.0, []
    for arm, setup in priors(list(cost.probes), 0).items():
        ahead = [setup.until(stop) for stop in (stops if arm in references else stops[:1])]
        before = [None, *ahead]
        total += sum(cost.predict(s, p, config.explore_dev_rows).trial_seconds for s, p in zip(ahead, before, strict=False))
        if arm in references:
            confirming.append(cost.predict(ahead[-1]).trial_seconds)
    return config.safety * (total + CONFIRM_SEEDS * sum(sorted(confirming)[-config.reserved_contenders :]))


def sizes(state: SearchState) -> dict[str, float]:
    """gpu-seconds of a search that is the least possible, useful, or confident.

    least: the cheapest method alone at the shortest length. useful: stops up to an epoch, all methods tried, and the
    contenders confirmed with two seeds. confident: stops up to three epochs, twice as much of everything, and the
    contenders confirmed with five seeds.
    """
    config, cost, rows = state.config, state.cost, state.cost.train_rows
    before = state.ledger.spent() + config.safety * cost.closing_seconds()
    least = min(rows, config.fewest_steps * largest_batch(state.arms))
    short, long = (
        sorted(cost.predict(setup).trial_seconds for setup in priors(state.arms, stop).values()) for stop in (least, 3 * rows)
    )
    useful, confident = (
        needs_of(ladder(longest, least, config), cost, state.references, config) for longest in (rows, 3 * rows)
    )
    more_seeds = config.safety * (config.most_confirm_seeds - CONFIRM_SEEDS) * sum(long[-config.reserved_contenders :])
    return {
        "least": before + config.safety * short[0],
        "useful": before + useful,
        "confident": before + 2 * confident + more_seeds,
    }
