"""Versions of what a result depends on."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

LIBRARIES = ("peftcost", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "optuna", "numpy")


def versions() -> dict[str, str]:
    """Python's and the libraries' versions, by name; what is not installed is left out."""
    found = {"python": python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
