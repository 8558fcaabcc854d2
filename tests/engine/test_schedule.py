"""Warm-up, constant rate, cool-down: pure arithmetic that decides what a stop is."""

from hypothesis import given
from hypothesis import strategies as st

from peftcost.core.setup import Setup
from peftcost.engine.schedule import plan_steps, steps_for


@given(rows=st.integers(1, 500), batch=st.integers(1, 64), epochs=st.integers(0, 4), rest=st.integers(0, 499))
def test_steps_cover_the_examples_and_no_more(rows: int, batch: int, epochs: int, rest: int) -> None:
    examples = epochs * rows + rest % rows
    steps = steps_for(examples, rows, batch)
    per_epoch = -(-rows // batch)
    seen = sum(batch if (i + 1) % per_epoch else rows - (per_epoch - 1) * batch for i in range(steps))
    assert seen >= examples
    assert seen - examples < batch


@given(stop=st.integers(160, 20_000), share=st.sampled_from([0.0, 0.1, 0.2, 0.5]))
def test_longer_stops_share_the_stable_phase_of_shorter_ones(stop: int, share: float) -> None:
    short = plan_steps(Setup.of("lora", {"cooldown_share": share}, stop), 2000)
    long = plan_steps(Setup.of("lora", {"cooldown_share": share}, 2 * stop), 2000)
    assert short.stable_steps <= long.stable_steps
    assert [short.rate_factor(s) for s in range(short.stable_steps)] == [
        long.rate_factor(s) for s in range(short.stable_steps)
    ]


def test_the_cooldown_falls_linearly_and_ends_above_zero() -> None:
    plan = plan_steps(Setup.of("lora", {"cooldown_share": 0.2, "warmup_steps": 4}, 1600), 1600)
    factors = [plan.rate_factor(step) for step in range(plan.total_steps)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    cooling = factors[plan.stable_steps :]
    assert len(cooling) == 20
    assert all(a > b for a, b in zip(cooling, cooling[1:], strict=False))
    assert 0 < cooling[-1] < 0.06
