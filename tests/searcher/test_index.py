"""The index of what exploring has tried says the same as looking through all of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.front import front
from peftcost.core.measurement import Measurement
from peftcost.core.setup import Setup
from peftcost.cost.model import Prediction
from peftcost.methods import get_method
from peftcost.searcher.index import Explored, point_of
from peftcost.searcher.trial import Trial

STOPS = (100, 200, 400)
FACTS = {
    "process_peak_bytes": 0,
    "latency_seconds": 0.0,
    "artifact_bytes": 0,
    "trainable_parameters": 0,
    "total_parameters": 0,
}
OUTCOME = st.tuples(st.sampled_from((0.5, 0.6, 0.7)), st.sampled_from((1.0, 2.0, 3.0)), st.sampled_from((10, 20)))


def begun(number: int, rate: float, stop: int) -> Trial:
    setup = Setup.of("lora", {**get_method("lora").prior(), "learning_rate": rate}, stop)
    return Trial(number, setup, 0, "explore", 0, Prediction(1.0, 1, 1.0))


def measured(trial: Trial, quality: float, gpu_seconds: float, peak_bytes: int) -> Trial:
    costs = {"gpu_seconds": gpu_seconds, "startup_seconds": 0.0, "peak_bytes": peak_bytes}
    trial.status, trial.measurement = "measured", Measurement(0, "explore", quality, 1.0, 1.0, **costs, **FACTS)  # type: ignore[arg-type]
    return trial


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(STOPS), OUTCOME, st.booleans()), max_size=40))
def test_it_says_what_a_look_at_all_trials_would(steps: list[tuple[int, int, tuple[float, float, int], bool]]) -> None:
    explored, trials = Explored(), dict[str, Trial]()
    for number, (rate, stop, outcome, fails) in enumerate(steps):
        trial = begun(number, rate / 1000, stop)
        if trial.setup.id in trials:
            continue
        trials[trial.setup.id] = trial
        explored.start(trial)
        if not fails:
            explored.measure(measured(trial, *outcome))
    done = {str(t.number): t for t in trials.values() if t.measurement is not None}
    assert {str(t.number) for t in explored.front} == set(front({n: point_of(t) for n, t in done.items()}))
    assert [t.number for t in explored.best()] == sorted(
        (t.number for t in done.values()), key=lambda n: (-point_of(done[str(n)])[0], n)
    )
    farthest: dict[str, int] = {}
    for trial in trials.values():
        farthest[trial.setup.lineage] = max(farthest.get(trial.setup.lineage, 0), trial.setup.stop_examples)
    for stop in STOPS:
        waiting = {t.setup.lineage for t in explored.at(stop) if explored.is_waiting(t)}
        assert waiting == {
            t.setup.lineage for t in done.values() if t.setup.stop_examples == stop == farthest[t.setup.lineage]
        }


def test_best_can_be_cut_short() -> None:
    explored = Explored()
    for number, quality in enumerate((0.5, 0.7, 0.6)):
        trial = begun(number, (number + 1) / 1000, STOPS[number])
        explored.start(trial)
        explored.measure(measured(trial, quality, 1.0, 10))
    assert [t.number for t in explored.best(2)] == [1, 2]
