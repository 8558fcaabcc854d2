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
from peftcost.recipe.warm_start import prior_run_of, prior_runs_of
from peftcost.searcher.planner import priors, starting_points
from peftcost.searcher.surrogate import Observation, Surrogate
from peftcost.simulator.search import prior_of, simulate
from peftcost.simulator.table import read_table

FIXTURE = Path(__file__).parent.parent / "report" / "result_fixture.json"
TABLE = Path(__file__).parent.parent.parent / "benchmarks" / "results" / "table-reviews.parquet"
RECIPE = Path(__file__).parent.parent.parent / "recipes" / "tweets.yaml"


@pytest.fixture
def earlier_run(tmp_path: Path) -> Path:
    """A finished run's folder."""
    run = tmp_path / "earlier"
    run.mkdir()
    shutil.copy(FIXTURE, run / "result.json")
    (run / "events.jsonl").write_text("")
    return run


def test_a_run_teaches_its_setups_the_best_first_and_what_they_measured(earlier_run: Path) -> None:
    entries = {Setup.from_dict(e).id: e for e in json.loads(FIXTURE.read_text())["setups"] if e["status"] == "measured"}
    prior_runs = prior_runs_of([earlier_run])
    qualities = [entries[Setup.from_dict(raw).id]["quality"] for raw in prior_runs["setups"]]
    assert qualities == sorted(qualities, reverse=True)
    assert {Setup.from_dict(s["setup"]).id for s in prior_runs["seen"]} <= set(entries)
    assert all(reading[2] == 1 for reading in (s["reading"] for s in prior_runs["seen"]))


def test_a_recipe_teaches_its_setup() -> None:
    (raw,) = prior_runs_of([RECIPE])["setups"]
    assert Setup.from_dict(raw).method in RECIPE.read_text()


def test_what_is_no_run_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing"):
        prior_runs_of([tmp_path / "nothing"])


def test_the_best_of_an_earlier_run_is_a_bet_beside_the_prior_and_suits_this_device() -> None:
    plain = priors(["lora"], 100)
    best = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 3e-3, "precision": "bf16"}, 800)
    prior, taught = starting_points(plain, [], [best], {"lora": get_method("lora").space()})["lora"]
    assert prior == plain["lora"]
    assert taught.hyperparameters["learning_rate"] == 3e-3
    assert taught.hyperparameters["precision"] == "fp32", "what suits a device is not taken over"
    assert taught.stop_examples == 100


def test_an_earlier_task_is_a_hint_that_own_measurements_overrule() -> None:
    def lora(rate: float) -> Setup:
        return Setup.of("lora", {**get_method("lora").prior(), "learning_rate": rate}, 100)

    rates = (2e-4, 1e-3, 5e-3)
    there = [Observation(lora(rate), 0.5 + 0.1 * i, 5000, task=1) for i, rate in enumerate(rates)]
    here = [Observation(lora(rate), 0.9 - 0.1 * i, 5000) for i, rate in enumerate(rates)]
    hinted = [g.mean for g in Surrogate(there, 100).predict([lora(rate) for rate in rates])]
    assert hinted == sorted(hinted)
    own = [g.mean for g in Surrogate([*there, *here], 100).predict([lora(rate) for rate in rates])]
    assert own == pytest.approx([0.9, 0.8, 0.7], abs=0.03)


def test_an_earlier_task_that_misleads_is_seen_through() -> None:
    """Where the own readings rise with the rate and the earlier task's fall, the own tell what is not measured yet."""

    def lora(rate: float) -> Setup:
        return Setup.of("lora", {**get_method("lora").prior(), "learning_rate": rate}, 100)

    rates = [2e-4 * 2**i for i in range(7)]
    there = [Observation(lora(rate), 0.8 - 0.08 * i, 5000, task=1) for i, rate in enumerate(rates)]
    here = [Observation(lora(rate), 0.3 + 0.08 * i, 5000) for i, rate in enumerate(rates[:6])]
    alone, warned = (
        Surrogate(here, 100).predict([lora(rates[6])])[0],
        Surrogate([*there, *here], 100).predict([lora(rates[6])])[0],
    )
    assert warned.mean == pytest.approx(alone.mean, abs=0.01)


def test_a_recipe_is_tried_before_the_prior_and_the_better_goes_on() -> None:
    table = synthetic_table()
    worst = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 2e-4, "rank": 32}, 300)
    prior_runs = {"sources": ["recipe.yaml"], "setups": [worst.as_dict()], "seen": []}
    outcome = simulate(table, 0.15 * table.total_gpu_seconds, 0, prior_runs=prior_runs)
    begun = list(outcome.state.explored.first["lora"])
    prior = prior_of(table, "lora")
    assert begun[:2] == [worst.lineage, prior.lineage]
    assert outcome.state.explored.latest[prior.lineage].setup.stop_examples > 300
    assert outcome.state.explored.latest[worst.lineage].setup.stop_examples == 300


def test_a_recipe_is_trained_as_long_as_it_says_before_anything_is_explored() -> None:
    table = synthetic_table()
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": 2e-4, "rank": 32}, 1200)
    prior_runs = {"sources": ["recipe.yaml"], "setups": [setup.as_dict()], "seen": []}
    outcome = simulate(table, 0.3 * table.total_gpu_seconds, 0, prior_runs=prior_runs)
    trials = [trial.setup for trial in outcome.state.trials.values()]
    of_recipe = [at for at, tried in enumerate(trials) if tried.lineage == setup.lineage]
    assert trials[of_recipe[-1]].stop_examples == 1200
    assert not any(tried.stop_examples > table.stops[0] for tried in trials[: of_recipe[-1]])


def test_the_best_of_an_earlier_run_of_the_same_task_is_tried_where_it_would_not_have_been() -> None:
    table = read_table(TABLE)
    budget = 0.25 * table.total_gpu_seconds
    before = simulate(table, budget, 50)
    taught = prior_run_of(before.entries, before.state.cost.dev_rows, 1)
    best = Setup.from_dict(taught["setups"][0]).lineage
    taught_trials, plain_trials = (
        simulate(table, budget, 0, prior_runs=prior_runs).state.trials.values()
        for prior_runs in ({"sources": ["run"], **taught}, None)
    )
    assert best in {trial.setup.lineage for trial in taught_trials}
    assert best not in {trial.setup.lineage for trial in plain_trials}


def test_a_recipe_with_a_choice_that_its_method_does_not_have_is_a_users_error(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.read_text().replace("    precision:", "    pack_it: true\n    precision:"))
    with pytest.raises(UserError, match=r"recipe\.yaml: .* has no choice 'pack_it'"):
        prior_runs_of([path])
