"""What of a run's models and checkpoints stays in its folder at the end. Rows and curves of all setups always stay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

from peftcost.engine.messages import Done, failure_of
from peftcost.errors import UserError, did_you_mean
from peftcost.methods.plain import TRAINED
from peftcost.searcher.controller import Controller, SearchRun
from peftcost.searcher.state import SearchState

Keep = Literal["recommended", "front", "all"]
"""recommended: its model whole; of the trade-offs what was trained. front: these whole too, with the checkpoints that a
longer training goes on from. all: the same of every setup."""
DEFAULT: Keep = "recommended"


def checked_keep(keep: str) -> Keep:
    """UserError if there is no such choice."""
    for choice in get_args(Keep):
        if keep == choice:
            return choice
    raise UserError(f"--keep is {keep!r}.{did_you_mean(keep, list(get_args(Keep)))} Choose {', '.join(get_args(Keep))}.")


def whole_setups(keep: Keep, state: SearchState, front: Collection[str], advised: str) -> set[str]:
    """The setups of which the whole artifact stays."""
    measured = {trial.setup.id for trial in state.measured()}
    return {"recommended": {advised}, "front": {*front, advised}, "all": measured}[keep]


def keep_checkpoints(controller: Controller, run: SearchRun, keep: Keep, whole: Collection[str]) -> None:
    """Delete all checkpoints but those from which lineages of these setups can go on, if they are to stay."""
    state = controller.state
    lineages = {state.setup(setup_id).lineage for setup_id in whole} if keep != DEFAULT else set()
    latest = [t for t in state.explored.latest.values() if t.setup.lineage in lineages and t.measurement is not None]
    kept = [t.number for t in latest if run.folder.bytes_of(t.setup.id, t.seed, "checkpoint")]  # of some there was no room
    if kept:
        controller.record("kept", checkpoints=sorted(kept))
    controller.tidy_checkpoints(run)


def keep_models(controller: Controller, run: SearchRun, whole: Collection[str], trained: Collection[str]) -> None:
    """Write models whole, leave those of which what was trained stays, and delete the others."""
    for setup_id in sorted(whole):
        write_whole(controller, run, setup_id)
    for trial in controller.state.measured():
        if trial.setup.id not in {*whole, *trained}:
            run.folder.forget(trial.setup.id, trial.seed, "model")


def write_whole(controller: Controller, run: SearchRun, setup_id: str) -> None:
    """The setup's artifacts in the library's own format, where the search has kept only what was trained."""
    for trial in controller.state.decisive(setup_id):
        out = run.folder.trial(setup_id, trial.seed)
        if (out / "model" / TRAINED).exists():
            prepared, setup = run.prepared_for(trial.setup), trial.setup.as_dict()
            payload = {"prepared": prepared, "setup": setup, "seed": trial.seed, "out": str(out)}
            message = controller.run_aside("whole", payload)
            if not isinstance(message, Done):
                text = f"The model of {setup_id} could not be written as transformers does: {failure_of(message)}."
                controller.record("warned", text=text)
