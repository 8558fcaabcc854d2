"""What a new search takes over from earlier runs and recipes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from synthetic_table import synthetic_table

from peftcost.core.setup import Setup
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.recipe.recipe import load_recipe
from peftcost.recipe.warm_start import prior_runs_of
from peftcost.searcher.planner import priors, starting_points
from peftcost.searcher.state import SearchState
from peftcost.simulator.search import prior_of, simulate

FIXTURE = Path(__file__).parent.parent / "report" / "result_fixture.json"
RECIPE = Path(__file__).parent.parent.parent / "recipes" / "tweets.yaml"


@pytest.fixture
def earlier_run(tmp_path: Path) -> Path:
    """A finished run's folder."""
    run = tmp_path / "earlier"
    run.mkdir()
    shutil.copy(FIXTURE, run / "result.json")
    (run / "events.jsonl").write_text("")
    return run


def test_a_run_gives_its_setups_the_best_first(earlier_run: Path) -> None:
    entries = {Setup.from_dict(e).id: e for e in json.loads(FIXTURE.read_text())["setups"] if e["status"] == "measured"}
    prior_runs = prior_runs_of([earlier_run])
    qualities = [entries[Setup.from_dict(raw).id]["quality"] for raw in prior_runs["setups"]]
    assert qualities == sorted(qualities, reverse=True)


def test_a_recipe_gives_its_setup() -> None:
    (raw,) = prior_runs_of([RECIPE])["recipes"]
    assert Setup.from_dict(raw).method in RECIPE.read_text()


def test_what_is_no_run_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing"):
        prior_runs_of([tmp_path / "nothing"])


def test_the_best_of_an_earlier_run_is_a_starting_point_beside_the_prior_and_suits_this_device() -> None:
    plain = priors(["lora"], 100)
    best = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 3e-3, "precision": "bf16"}, 800)
    state = SearchState(earlier=[best])
    prior, taught = starting_points(state, plain, {"lora": get_method("lora").space()})["lora"]
    assert prior == plain["lora"]
    assert taught.hyperparameters["learning_rate"] == 3e-3
    assert taught.hyperparameters["precision"] == "fp32", "what suits a device is not taken over"
    assert taught.stop_examples == 100


def test_a_recipe_is_tried_before_the_prior_and_the_better_goes_on() -> None:
    table = synthetic_table()
    worst = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 2e-4, "rank": 32}, 300)
    prior_runs = {"sources": ["recipe.yaml"], "setups": [], "recipes": [worst.as_dict()]}
    outcome = simulate(table, 0.25 * table.total_gpu_seconds, 0, prior_runs=prior_runs)
    begun = [t.setup.lineage for t in outcome.state.trials.values() if t.setup.arm == "lora"]
    prior = prior_of(table, "lora")
    assert begun[:2] == [worst.lineage, prior.lineage]
    assert outcome.state.explored.latest[prior.lineage].setup.stop_examples > 300
    assert outcome.state.explored.latest[worst.lineage].setup.stop_examples == 300


def test_a_recipe_is_trained_as_long_as_it_says_before_anything_is_explored() -> None:
    table = synthetic_table()
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 2e-4, "rank": 32}, 1200)
    prior_runs = {"sources": ["recipe.yaml"], "setups": [], "recipes": [setup.as_dict()]}
    outcome = simulate(table, 0.3 * table.total_gpu_seconds, 0, prior_runs=prior_runs)
    trials = [trial.setup for trial in outcome.state.trials.values()]
    of_recipe = [at for at, tried in enumerate(trials) if tried.lineage == setup.lineage]
    assert trials[of_recipe[-1]].stop_examples == 1200
    assert not any(tried.stop_examples > table.stops[0] for tried in trials[: of_recipe[-1]])


def test_a_recipe_with_a_choice_that_its_method_does_not_have_is_a_users_error(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.read_text().replace("    precision:", "    pack_it: true\n    precision:"))
    with pytest.raises(UserError, match=r"recipe\.yaml: .* has no choice 'pack_it'"):
        prior_runs_of([path])


def test_a_recipe_that_was_found_on_a_gpu_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.read_text().replace("    precision:", "    weights: bf16\n    attention: eager\n    precision:"))
    assert load_recipe(path).setup.hyperparameters["weights"] == "bf16"
