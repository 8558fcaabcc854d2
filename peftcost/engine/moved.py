"""Whether a training has moved what it should."""

from __future__ import annotations

from peftcost.engine.train_state import TrainState
from peftcost.errors import SetupFailed
from peftcost.methods.head import head_test


def fingerprints(train_state: TrainState) -> dict[str, tuple[float, float]]:
    """Two sums per trained tensor, enough to see whether it moved."""
    return {
        name: (float(p.detach().double().sum()), float(p.detach().double().square().sum()))
        for name, p in train_state.trained.items()
    }


def check_moved(before: dict[str, tuple[float, float]], train_state: TrainState) -> None:
    """SetupFailed when nothing but the head has moved although there is something: adapters that were never hooked
    up train silently to nothing."""
    after = fingerprints(train_state)
    is_in_head = head_test(train_state.plain)
    inner = [name for name in before if not is_in_head(name)]
    if inner and all(before[name] == after[name] for name in inner):
        raise SetupFailed(f"nothing of {len(inner)} trained tensors moved (for example {inner[0]})")
