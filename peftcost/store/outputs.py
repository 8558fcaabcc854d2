"""What the user names to be written: that it cannot be is told before work is spent on it, and what was made is not lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peftcost.errors import EnvironmentFailure, PeftcostError, UserError, tells_full_disk


def cannot_be_written(path: Path, error: OSError) -> PeftcostError:
    """What to raise: the path has to change, or where the disk is full, the surroundings."""
    reason = error.strerror or error.args[0][0][-1]  # of shutil's: the first of (source, destination, why)
    if tells_full_disk(reason):
        return EnvironmentFailure(f"{path} cannot be written (the disk is full); free some space, or choose another --out.")
    return UserError(f"{path} cannot be written ({reason}); choose another --out.")


def check_can_be_made(path: Path) -> None:
    """UserError when nothing can be made at a path where nothing lies yet."""
    parent = next(p for p in path.absolute().parents if p.exists())
    try:
        tempfile.TemporaryDirectory(prefix=".peftcost-", dir=parent).cleanup()
    except OSError as error:
        raise UserError(
            f"{path} cannot be made: {parent} is not a folder that can be written to ({error.strerror}); "
            "choose another --out."
        ) from error


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write what takes a file's place once it is whole, so that a kill leaves the old one; the path itself where
    nothing can lie beside it, or it is no file: /dev/stdout, a pipe."""
    target = path.resolve()
    is_other = path.is_relative_to("/dev") or (target.exists() and not target.is_file())
    if is_other or not os.access(target.parent, os.W_OK):
        yield path
        return
    aside = target.with_name(f".{target.name}.new")
    try:
        yield aside
        if target.exists():
            shutil.copymode(target, aside)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def write_out(path: Path, text: str) -> None:
    """Write a text file that the user has named."""
    try:
        with written_aside(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise cannot_be_written(path, error) from error


def deliver(made: Path, out: Path) -> None:
    """Bring a finished folder to where it was asked for. Where that fails, it is kept in a temporary folder, which the error
    names: what was spent on it is not lost."""
    aside = out.with_name(f".{out.name}.new")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # what a kill has left
        shutil.copytree(made, aside)
        os.replace(aside, out)
    except OSError as error:
        kept = Path(tempfile.mkdtemp(prefix="peftcost-kept-")) / made.name
        shutil.move(made, kept)
        failure = cannot_be_written(out, error)
        raise type(failure)(f"{failure.args[0]} What was made is kept in {kept}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
