"""From work to seconds, and back from measured steps to rates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftcost.cost.machines import PUBLISHED, find_machine, needed_bytes
from peftcost.cost.rates import KINDS, Rates, Work, fit
from peftcost.errors import UserError


@given(st.lists(st.floats(1e-3, 1e3), min_size=len(KINDS), max_size=len(KINDS)), st.integers(0, 10**6))
def test_rates_are_found_again_from_the_steps_that_they_explain(per: list[float], seed: int) -> None:
    truth = Rates(dict(zip(KINDS, per, strict=True)))
    random = np.random.default_rng(seed)
    works = [Work(*random.uniform(0.1, 1, len(KINDS))) for _ in range(40)]
    found = fit(works, [truth.seconds(work) for work in works])
    for work in works[:5]:
        assert found.seconds(work) == pytest.approx(truth.seconds(work), rel=1e-3)


def test_faster_machines_are_faster() -> None:
    work = Work(matmul_flops=1e12, moved_bytes=1e9, kernels=500)
    seconds = {name: machine.rates("bf16").seconds(work) for name, machine in PUBLISHED.items()}
    assert seconds["h100"] < seconds["a100-80gb"] < seconds["rtx4090"] < seconds["t4"]
    assert PUBLISHED["h100"].rates("fp32").seconds(work) > seconds["h100"]


def test_a_device_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "l4.yaml"
    file.write_text(
        "name: L4\nmemory_bytes: 24GB\nflops_per_second: {fp32: 30.3e+12, bf16: 121e+12}\nbytes_per_second: 300e+9\n"
    )
    assert find_machine(str(file)).memory_bytes == 24 * 10**9


@pytest.mark.parametrize(
    ("content", "says"),
    [("name: L4\n", "memory_bytes"), ("name: L4\nmemory: 3\n", "memory"), (None, "no device file")],
)
def test_device_files_that_are_wrong(tmp_path: Path, content: str | None, says: str) -> None:
    file = tmp_path / "l4.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=says):
        find_machine(str(file))


def test_the_nearest_device_is_named() -> None:
    with pytest.raises(UserError, match="Did you mean 'h100'"):
        find_machine("h10")


def test_more_is_needed_than_the_tensors_take() -> None:
    assert needed_bytes(10**9, "cpu") > needed_bytes(10**9, "cuda") > 10**9
