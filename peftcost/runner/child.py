"""Calls a function in a process of its own: what it sets there (environment, threads, verbosity) ends with that process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from peftcost.core.terminal import leave_to_caller
from peftcost.errors import EnvironmentFailure, PeftcostError
from peftcost.runner.worker_process import out_of_reach_of_ctrl_c, without_main_module

T = TypeVar("T")


def in_child(function: Callable[..., T], on_progress: Callable[[str], None], **arguments: Any) -> T:
    """Call `function(**arguments, on_progress=…)` in a child.

    Args:
        function: One that stands at the top of its module. Arguments and result are pickled.
        on_progress: Called here with each text that the child's `on_progress` is called with.
        arguments: By keyword.

    Returns:
        What the function returned.

    Raises:
        PeftcostError: What the function raised, or what says so.
        EnvironmentFailure: When the child was killed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_call, args=(theirs, function, arguments), daemon=True)
    with without_main_module(), out_of_reach_of_ctrl_c():
        process.start()
    theirs.close()
    try:
        while True:
            kind, value = ours.recv()
            if kind == "progress":
                on_progress(value)
            elif kind == "raised":
                raise value
            else:
                return value
    except EOFError:
        process.join()
        raise EnvironmentFailure(f"The process that predicts ended with exit code {process.exitcode}; try again.") from None
    finally:
        ours.close()
        process.kill()
        process.join()


def _call(pipe: Connection, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """What the child runs."""
    leave_to_caller()
    try:
        result = function(**arguments, on_progress=lambda text: pipe.send(("progress", text)))
    except PeftcostError as error:
        pipe.send(("raised", error))
    except Exception as error:
        pipe.send(("raised", PeftcostError(f"{type(error).__name__}: {error}")))
    else:
        pipe.send(("returned", result))
