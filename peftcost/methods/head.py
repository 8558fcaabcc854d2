"""The task head: what no pretrained model brings, and what every method trains and saves.

It is what loading has newly made, whatever its name: a classifier, and a pooler or a projection under it where the checkpoint
has none. A pooler that the checkpoint has is trained with it, as BERT's authors do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

HEAD_NAMES = ("classifier", "score", "qa_outputs", "lm_head", "pre_classifier")
"""Attribute names of heads in transformers."""
KEEP_IN_FULL_PRECISION = (*HEAD_NAMES, "pooler")
"""Never quantized: a quantized head cannot be trained."""


def mark_fresh(model: torch.nn.Module, names: Iterable[str]) -> None:
    """Remember on the model which of its parameters are new.

    LookupError where a new parameter stands among old ones of its module, since libraries save modules.
    """
    new = set(names)
    modules: list[str] = []
    for name, module in model.named_modules():
        own = {f"{name}.{parameter}" for parameter, _ in module.named_parameters()} if name else set()
        if own and own <= new and not name.startswith(tuple(f"{outer}." for outer in modules)):
            modules.append(name)
    alone = [name for name in sorted(new) if not name.startswith(tuple(f"{outer}." for outer in modules))]
    if alone:
        raise LookupError(f"its parameter {alone[0]} is not in the checkpoint, and stands among others that are")
    setattr(model, "fresh_modules", tuple(modules))  # noqa: B010  (torch types all attributes as modules)


def fresh_modules(model: torch.nn.Module) -> tuple[str, ...]:
    """Full names, in the base, of the modules that loading has newly made; () where nobody has marked them."""
    names: tuple[str, ...] = getattr(model, "fresh_modules", ())
    return names


def head_names(model: torch.nn.Module) -> list[str]:
    """Of the modules that belong to the head: last parts of the known ones' names, full names of others;
    none where nothing was newly made."""
    if getattr(model, "fresh_modules", None) == ():
        return []  # the base's own head stays
    last_parts = {name.rpartition(".")[2] for name, _ in model.named_modules() if name}
    known = [name for name in KEEP_IN_FULL_PRECISION if name in last_parts]
    return known + [name for name in fresh_modules(model) if not any(part in known for part in name.split("."))]


def head_test(model: torch.nn.Module) -> Callable[[str], bool]:
    """Tells of a parameter's or module's name, PEFT's prefixes included, whether it belongs to the head."""
    heads = tuple(f".{name}." for name in head_names(model))
    return lambda name: any(head in f".{name}." for head in heads)


def outermost_head(model: torch.nn.Module) -> torch.nn.Module:
    """The outermost module that has a head's name: with PEFT, the one that chooses the trained copy. LookupError without."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in HEAD_NAMES:
            return module
    raise LookupError("the model has no head that is known by name")
