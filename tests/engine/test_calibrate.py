"""What is timed to tell how fast a device is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from peftcost.core.setup import Scalar
from peftcost.engine import calibrate, precision
from peftcost.engine.step_estimate import Shape


@pytest.mark.parametrize(("kind", "precision_of_all", "wide"), [("cpu", "fp32", False), ("cuda", "bf16", True)])
def test_the_steps_that_are_timed_are_those_that_are_planned(
    monkeypatch: pytest.MonkeyPatch, kind: str, precision_of_all: str, wide: bool
) -> None:
    timed: list[tuple[str, Mapping[str, Scalar], Shape]] = []
    planned_for: list[str] = []
    estimate_step = calibrate.estimate_step

    def step_seconds(folder: Path, method: str, choices: Mapping[str, Scalar], shape: Shape) -> float:
        timed.append((folder.name, choices, shape))
        return 1.0

    def estimated(*arguments: object) -> object:
        planned_for.append(str(arguments[-1]))
        return estimate_step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(calibrate, "METHODS", ("frozen", "lora"))
    monkeypatch.setattr(calibrate, "device_kind", lambda: kind)
    monkeypatch.setattr(calibrate, "step_seconds", step_seconds)
    monkeypatch.setattr(calibrate, "save_random", lambda config, folder: None)
    monkeypatch.setattr(calibrate, "estimate_step", estimated)
    monkeypatch.setattr(precision.torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    rates = calibrate.calibrate()
    assert rates.seconds_per["kernels"] >= 0
    assert {choices["precision"] for _, choices, _ in timed} == {precision_of_all}
    assert planned_for == [kind] * len(timed)
    assert any(name == "wide" and shape == calibrate.LARGE_SHAPE for name, _, shape in timed) == wide
