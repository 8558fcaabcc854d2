"""The command line: its commands, what stands before them, and how they end (docs/exit-codes.md)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Annotated

import typer

import peftcost
from peftcost.cli.commands import (
    bench,
    check,
    demo,
    diff,
    doctor,
    evaluate,
    init,
    methods,
    plan,
    predict,
    recommend,
    report,
    resume,
    search,
    train,
    watch,
)
from peftcost.cli.options import Grouped
from peftcost.cli.signals import INTERRUPTED, signals
from peftcost.errors import EnvironmentFailure, PeftcostError, first_line, is_full_disk

NOT_READ = 128 + 13
"""Whoever read what we write has closed it, as `| head` does: what the shell calls SIGPIPE."""

app = typer.Typer(
    name="peftcost",
    help="The cheapest fine-tuning setup that is as good as the best one, found within your GPU budget.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    demo.demo,
    init.init,
    check.check,
    plan.plan,
    search.search,
    resume.resume,
    watch.watch,
    recommend.recommend,
    report.report,
    diff.diff,
    train.train,
    predict.predict,
    evaluate.evaluate,
    bench.bench,
    methods.methods,
    doctor.doctor,
)
"""In the order of the help, which is that of the work."""
for command in COMMANDS:
    app.command(cls=Grouped)(command)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"peftcost {peftcost.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    """The options that stand before a command."""


def main() -> None:
    """Run the command line, and exit with the code that says how it went."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"] or ["--help"]
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    logging.captureWarnings(not debug)
    signals.listen()
    PeftcostError.on_command_line = True
    try:
        code = app(args=arguments, standalone_mode=False)
    except BaseException as error:
        signals.ignore()
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):  # click's own 1 is our fault
            sys.exit(NOT_READ)
        said, code = how_it_ended(error)
        end(said, code, error if debug else None)
    if code == INTERRUPTED:  # typer's code for a KeyboardInterrupt within a command
        signals.ignore()
        end(signals.sentence(code), code)
    sys.exit(code)


def how_it_ended(error: BaseException) -> tuple[str, int]:
    """The line for people and the exit code. Once a signal has arrived, no other error counts: it is what followed."""
    if signals.exit_code is not None or isinstance(error, KeyboardInterrupt):
        code = signals.exit_code or INTERRUPTED
        return signals.sentence(code), code
    if isinstance(error, PeftcostError):
        return str(error), error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's usage errors
        return f"{error.format_message()} See --help.", 2
    if is_full_disk(error):
        return f"A disk is full ({first_line(error)}); free some space, then go on.", EnvironmentFailure.exit_code
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}: {error.filename or ''}".rstrip(": "), EnvironmentFailure.exit_code
    if isinstance(error, Exception):
        return f"Our fault: {type(error).__name__}: {error}. Run again with --debug and report it.", 1
    raise error


def end(text: str, code: int, error: BaseException | None = None) -> None:
    if error is not None:
        import traceback

        traceback.print_exception(error)
    with contextlib.suppress(OSError):  # the terminal was closed
        print(f"peftcost: {text}", file=sys.stderr)
    sys.exit(code)
