"""Methods that a table has and peftcost has not: all that is known of them is what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from peftcost.core.setup import Scalar, Setup
from peftcost.methods import Method, methods


class RecordedMethod(Method):
    """A method whose choices are those of its recorded setups; the first of them is its prior. It cannot be trained with."""

    trains = "what a table recorded"
    citation = ""
    recorded: ClassVar[Sequence[Setup]]

    def space(self) -> dict[str, BaseDistribution]:
        values = {name: [setup.hyperparameters[name] for setup in self.recorded] for name in self.prior()}
        return {name: distribution_of(found) for name, found in values.items()}

    def prior(self) -> dict[str, Scalar]:
        return dict(self.recorded[0].hyperparameters)

    def _not_here(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{self.name} is known from a table only")

    apply = save = load = _not_here


def distribution_of(values: Sequence[Scalar]) -> BaseDistribution:
    """The range of recorded floats, on a logarithmic scale where they are positive; of anything else, what there is."""
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) == len(values):
        return FloatDistribution(min(numbers), max(numbers), log=min(numbers) > 0)
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


def register_recorded(setups: Sequence[Setup]) -> None:
    """Make every method of these setups known that is not."""
    for name in dict.fromkeys(setup.method for setup in setups):
        if name not in methods():
            of_method = [setup for setup in setups if setup.method == name]
            methods()[name] = type(name, (RecordedMethod,), {"name": name, "recorded": of_method})()
