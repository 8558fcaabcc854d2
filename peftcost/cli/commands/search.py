"""`peftcost search`"""

from __future__ import annotations

from peftcost.cli.options import (
    AllOption,
    BudgetOption,
    ConfidenceOption,
    DevicesOption,
    DevicesPerSetupOption,
    JsonOption,
    KeepOption,
    LabelOption,
    MaxLengthOption,
    MethodsOption,
    ModelOption,
    NoExamplesOption,
    OutOption,
    PriceOption,
    QuietOption,
    SeedOption,
    Source,
    TaskOption,
    TrackOption,
    WarmStartOption,
    names_of,
)
from peftcost.errors import UserError


def search(
    source: Source = None,
    task: TaskOption = None,
    label: LabelOption = None,
    model: ModelOption = None,
    max_length: MaxLengthOption = None,
    budget: BudgetOption = None,
    price: PriceOption = None,
    devices: DevicesOption = None,
    devices_per_setup: DevicesPerSetupOption = 1,
    methods: MethodsOption = None,
    seed: SeedOption = 0,
    warm_start: WarmStartOption = None,
    confidence: ConfidenceOption = None,
    out: OutOption = None,
    keep: KeepOption = "recommended",
    track: TrackOption = None,
    no_examples: NoExamplesOption = False,
    show_all: AllOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the cheapest setup that is as good as the best one, within the budget. The main job.

    Without --budget it prints what the least, a useful and a confident search of this task take on this machine.
    """
    from peftcost.cli.run_search import print_sizes, run_search
    from peftcost.cli.show_result import Shown
    from peftcost.task.task import load_task

    if source is not None and task is not None:
        raise UserError("Give either a data file or --task, not both.")
    asked = {name: value for name, value in (("model", model), ("max_length", max_length)) if value is not None}
    loaded = load_task(source or task or "task.yaml", label, model=model).model_copy(update=asked)
    names = names_of(methods)
    if budget is None:
        print_sizes(loaded, price, methods=names, seed=seed, devices=devices, devices_per_setup=devices_per_setup)
        return
    run_search(
        loaded,
        budget,
        Shown(quiet=quiet, as_json=as_json, every_setup=show_all),
        methods=names,
        seed=seed,
        devices=devices,
        devices_per_setup=devices_per_setup,
        price=price,
        out=out,
        warm_start=warm_start or [],
        confidence=confidence,
        keep=keep,
        track=track or [],
        examples=not no_examples,
    )
