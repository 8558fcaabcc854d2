"""How far something is: a bar on the terminal or in the notebook, and nothing where output goes to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def bar(quiet: bool, **options: Any) -> Any:
    """A tqdm bar that erases itself when it is closed. options: tqdm's."""
    from tqdm.auto import tqdm

    in_notebook = tqdm.__name__ == "tqdm_notebook"
    return tqdm(disable=quiet or not (in_notebook or sys.stderr.isatty()), leave=False, file=sys.stderr, **options)


@contextmanager
def status(quiet: bool) -> Iterator[Callable[[str], None]]:
    """A function that shows a text, and how long it has stood there, while the block runs."""
    with bar(quiet, bar_format="{desc} [{elapsed}]") as shown:
        yield shown.set_description_str
