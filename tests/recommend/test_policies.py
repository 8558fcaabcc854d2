"""The recommendation: cheapest among what is shown, honest where nothing can be."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from peftcost.core.statistics import NonInferiority, Replicates
from peftcost.errors import UserError
from peftcost.recommend.policies import Caveat, Evidence, recommend, what_it_takes


def replicates(observed: dict[str, float], sd: float) -> Replicates:
    values = {
        name: quality + np.random.default_rng(i).normal(size=2000) * sd for i, (name, quality) in enumerate(observed.items())
    }
    return Replicates(dict(observed), values)


def evidence(**setups: tuple[float, float, int, int]) -> list[Evidence]:
    return [Evidence(name, *facts) for name, facts in setups.items()]


CRITERION = NonInferiority(0.01)
SETUPS = evidence(frozen=(0.66, 20, 100, 2), lora=(0.748, 100, 300, 2), full=(0.75, 116, 480, 2))
OBSERVED = {e.id: e.quality for e in SETUPS}


def test_the_cheapest_that_is_shown_to_be_as_good_is_recommended() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION)
    assert found.id == "lora"
    assert found.confirmed
    assert "86%" in found.because
    assert found.probability_within_margin > 0.99


def test_without_proof_the_cheapest_that_is_expected_to_be_as_good_is_recommended_and_says_so() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.02), CRITERION, n_dev=1000)
    assert (found.id, found.best) == ("lora", "full")
    assert not found.confirmed
    assert found.because.startswith("Not confirmed. lora reaches 0.748")
    assert "cannot be told at 1000 dev rows" in found.because
    assert found.resolvable_difference > 0.01


def test_what_is_likely_is_told_as_likely_though_nothing_shows_it() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.005), CRITERION, n_dev=1000)
    assert not found.shown and found.probability_within_margin > 0.8
    assert "It is likely within 0.01 of the best, but that is not shown at 1000 dev rows." in found.because


def test_the_best_is_the_best_of_those_that_meet_the_constraints() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, max_memory_bytes=200)
    assert (found.id, found.best, found.limited, found.alone) == ("frozen", "frozen", True, True)
    assert "only setup measured that meets the constraints" in found.because and found.more_gpu_seconds is None
    pair = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, max_memory_bytes=400)
    assert (pair.best, pair.alone) == ("lora", False)
    assert "lora is expected to be the best that meets the constraints" in pair.because
    assert not recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION).limited


def test_what_it_takes_is_told_as_far_as_a_search_goes() -> None:
    takes = what_it_takes(0.01, 0.012, 1000, 2, 0.0)
    assert takes == "It would take about 1,500 dev rows and 3 fresh seeds, or a margin of 0.012."
    assert "a margin of 0.100" in what_it_takes(0.01, 0.1, 766, 2, 0.0)
    assert "fresh seeds that they would tell" in what_it_takes(0.01, 0.1, 766, 2, 0.0), "nobody trains 200"
    probable = what_it_takes(0.03, 0.0222, 1500, 4, 0.01)
    assert "a loss of up to 0.033 is not excluded" in probable, '97 % beside "not confirmed" reads like a fault'
    far = recommend(SETUPS, replicates(OBSERVED, 0.02), CRITERION, n_dev=1000)
    assert (far.confirmed, far.more_gpu_seconds) == (False, None)
    near = recommend(SETUPS, replicates(OBSERVED, 0.003), CRITERION, "best-quality", budget_for=lambda seconds, seeds: 60.0)
    assert (near.confirmed, near.more_gpu_seconds) == (True, None)
    near = recommend(SETUPS, replicates(OBSERVED, 0.005), CRITERION, "best-quality", budget_for=lambda seconds, seeds: 60.0)
    assert (near.confirmed, near.more_gpu_seconds) == (False, 60.0)


def test_less_confidence_shows_more() -> None:
    drawn = replicates(OBSERVED, 0.004)
    assert recommend(SETUPS, drawn, NonInferiority(0.01, 0.95)).id == "full"
    found = recommend(SETUPS, drawn, NonInferiority(0.01, 0.5))
    assert (found.id, found.confirmed, found.confidence) == ("lora", True, 0.5)
    assert "50% confidence" in found.because


def test_the_next_better_and_the_next_cheaper_are_named() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION)
    assert (found.id, found.next_better, found.next_cheaper) == ("lora", "full", "frozen")
    assert recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, "best-quality").next_better is None


def test_one_seed_proves_nothing() -> None:
    once = [Evidence(e.id, e.quality, e.gpu_seconds, e.peak_bytes, 0) for e in SETUPS]
    found = recommend(once, replicates(OBSERVED, 0.0001), CRITERION)
    assert (found.id, found.confirmed) == ("lora", False)


def test_with_a_caveat_nothing_is_confirmed_and_what_would_tell_is_counted() -> None:
    caveats = (Caveat("full was still rising", 60.0), Caveat("int8-lora was not measured", 20.0))
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, caveats_of=lambda setup_id, rivals: caveats)
    assert (found.id, found.confirmed, found.caveats) == ("lora", False, caveats)
    assert found.because.startswith("Not confirmed: full was still rising; int8-lora was not measured. lora reaches")
    assert found.more_gpu_seconds == 80.0


def test_what_is_likely_overtaken_is_not_confirmed_though_it_is_shown() -> None:
    likely = Caveat("twice the budget would find something better with a chance of 30%", 60.0)
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, overtaken=lambda limited: likely)
    assert (found.id, found.confirmed, found.caveats, found.more_gpu_seconds) == ("lora", False, (likely,), 60.0)
    assert "With 2 fresh seeds it is shown to be within 0.01 of the best that was measured" in found.because
    unsure = recommend(SETUPS, replicates(OBSERVED, 0.02), CRITERION, overtaken=lambda limited: likely)
    assert (unsure.confirmed, unsure.caveats) == (False, ()), "there the doubt is another one"
    assert (found.shown, unsure.shown) == (True, False)


def test_no_budget_is_named_where_none_would_tell() -> None:
    caveats = (Caveat("its times were measured on a busy machine", None, "Search again."),)
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, caveats_of=lambda setup_id, rivals: caveats)
    assert (found.confirmed, found.more_gpu_seconds) == (False, None)


def test_only_the_cheapest_of_several_is_held_against_their_times() -> None:
    asked: dict[str, list[str]] = {}

    def caveats_of(setup_id: str, rivals: Collection[str]) -> tuple[Caveat, ...]:
        asked[setup_id] = list(rivals)
        return ()

    recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, caveats_of=caveats_of)
    recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, "best-quality", caveats_of=caveats_of)
    recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, "cheapest", caveats_of=caveats_of)
    assert asked == {"lora": ["lora", "full"], "full": []}, "frozen is worse, whatever speaks against it"


def test_a_setup_that_is_named_is_held_against_all_others() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, named="full")
    assert (found.id, found.best, found.policy, found.confirmed) == ("full", "full", "named", True)
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, named="frozen")
    assert (found.id, found.best, found.confirmed) == ("frozen", "full", False)
    assert "worse than the best by more than 0.01" in found.because
    with pytest.raises(UserError, match="frozen does not have .*Loosen a constraint, or name another setup"):
        recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, named="frozen", min_quality=0.7)


def test_a_setup_alone_is_never_confirmed() -> None:
    found = recommend(SETUPS[:1], replicates({"frozen": 0.66}, 0.001), CRITERION)
    assert not found.confirmed
    assert "only setup" in found.because


@pytest.mark.parametrize(
    ("policy", "options", "expected"),
    [
        ("best-quality", {}, "full"),
        ("cheapest", {}, "frozen"),
        ("cheapest", {"min_quality": 0.7}, "lora"),
        ("lowest-memory", {}, "lora"),
        ("non-inferior", {"max_memory_bytes": 200}, "frozen"),
        ("best-quality", {"max_gpu_seconds": 105}, "lora"),
        ("knee", {}, "lora"),
    ],
)
def test_policies_and_constraints(policy: str, options: dict[str, float], expected: str) -> None:
    assert recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, policy, **options).id == expected


def test_constraints_that_nothing_meets_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"at least 0\.9; the nearest is full with quality 0\.750"):
        recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, min_quality=0.9)
    with pytest.raises(UserError, match=r"at least 0\.7 and at most 250 B; the nearest is frozen"):
        recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, min_quality=0.7, max_memory_bytes=250)


def test_within_constraints_the_best_is_the_best_that_meets_them() -> None:
    """What does not fit the memory is no comparator, however good it is."""
    found = recommend(SETUPS, replicates({**OBSERVED, "full": 0.9}, 0.001), CRITERION, max_memory_bytes=400)
    assert (found.id, found.confirmed) == ("lora", True)


def test_what_is_clearly_worse_is_called_worse() -> None:
    found = recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, "cheapest")
    assert not found.confirmed
    assert "worse than the best by more than 0.01" in found.because


def test_an_unknown_policy_names_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'knee'"):
        recommend(SETUPS, replicates(OBSERVED, 0.001), CRITERION, "kne")
