"""What is known of a task's targets, as values of their own: classes, a range of numbers, or tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from peftcost.core.one_line import one_line

SHOWN_CLASSES = 10


@dataclass(frozen=True)
class Targets:
    """What a task type learns of its targets from the training rows."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it; `targets_from` reads it."""
        return {"kind": type(self).__name__.lower(), **asdict(self)}

    def describe(self) -> str:
        """For people, in one line."""
        return ""


@dataclass(frozen=True)
class Classes(Targets):
    """names: of the classes; a class's id is its place."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ids(self) -> dict[str, int]:
        """name -> id."""
        return {name: i for i, name in enumerate(self.names)}

    def describe(self) -> str:
        shown = ", ".join(self.names[:SHOWN_CLASSES]) + (", …" if len(self.names) > SHOWN_CLASSES else "")
        return f"Labels ({len(self.names)}): {one_line(shown)}"


@dataclass(frozen=True)
class Labels(Classes):
    """Names of which an example may have several, or none. threshold: the probability above which a label is given."""

    threshold: float = 0.5


@dataclass(frozen=True)
class Values(Targets):
    """Numbers, as they lie in train. They are learnt as (value - mean) / scale."""

    mean: float
    scale: float
    low: float
    high: float

    def describe(self) -> str:
        return f"Values from {self.low:g} to {self.high:g}, mean {self.mean:g}"


@dataclass(frozen=True)
class Tokens(Targets):
    """Tokens of the base's own vocabulary: nothing has to be known."""

    def describe(self) -> str:
        return "Targets are the model's own tokens"


T = TypeVar("T", bound=Targets)


def targets_from(raw: dict[str, Any]) -> Targets:
    """What `as_dict` wrote."""
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items() if key != "kind"}
    kinds: dict[str, type[Targets]] = {"classes": Classes, "labels": Labels, "values": Values, "tokens": Tokens}
    return kinds[raw["kind"]](**fields)


def expect(kind: type[T], targets: Targets) -> T:
    """The targets, of which it is known that they are of this kind."""
    if not isinstance(targets, kind):
        raise TypeError(f"expected {kind.__name__}, but got {type(targets).__name__}")
    return targets
