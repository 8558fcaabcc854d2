"""peftcost: the cheapest fine-tuning setup that is as good as the best one, found within your GPU budget.

>>> import peftcost
>>> run = peftcost.search("task.yaml", budget="4gpu-h")   # doctest: +SKIP
>>> run.recommend().id                                     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peftcost.api import Run, load_recipe, load_task, resume, search
    from peftcost.planning import plan

    __version__: str

__all__ = ["Run", "load_recipe", "load_task", "plan", "resume", "search"]


def __getattr__(name: str) -> Any:
    """Import on first use: `import peftcost` alone stays quick."""
    if name == "__version__":
        return _version()
    if name == "plan":
        from peftcost.planning import plan

        return plan
    if name in __all__:
        from peftcost import api

        return getattr(api, name)
    raise AttributeError(f"module 'peftcost' has no attribute {name!r}")


def _version() -> str:
    """The installed version. A checkout on PYTHONPATH alone has none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("peftcost")
    except PackageNotFoundError:
        return "0+unknown"
