"""The errors that people see. Each carries the exit code that scripts rely on.

An error says in one sentence what is wrong and where (file, row, column, field), and what to do.
"""

import os
import re
from typing import ClassVar

# what pip is told is no argument of ours
OPTION = re.compile(r"(?<!pip install )--([a-z]+(?:-[a-z]+)*)(?: ('[^']*'|builtin:\w+|[+\d](?:[\w.:+-]*\w)?))?")
RESUME = re.compile(r"`peftcost resume ([^`]+?)(?: --budget ([^` ]+))?`")

FULL_DISK = ("No space left on device", "database or disk is full")


class PeftcostError(Exception):
    """Something went wrong that has a known cause; exit code 1 (our fault) unless a subclass says otherwise.

    Texts are written with the options of the command line. A Python caller reads arguments in their place.
    """

    exit_code = 1
    on_command_line: ClassVar[bool] = False
    """Whether the caller of this process is the command line, which sets it once, on `PeftcostError`."""

    def __str__(self) -> str:
        text = super().__str__()
        return text if PeftcostError.on_command_line else in_python(text)


def in_python(text: str) -> str:
    """The text with `--max-length 8` told as `max_length=8`, and `peftcost resume RUN` as a call."""
    return OPTION.sub(_argument, RESUME.sub(_call, text))


def _call(resume: re.Match[str]) -> str:
    arguments = [repr(argument) for argument in resume.groups() if argument]
    return f"`peftcost.resume({', '.join(arguments)})`"


def _argument(option: re.Match[str]) -> str:
    value = option[2] or ""
    is_plain = not value or value.startswith("'") or re.fullmatch(r"\d+(?:\.\d+)?", value)
    return f"{option[1].replace('-', '_')}={value if is_plain else repr(value)}"


class UserError(PeftcostError):
    """The user's input (flags, task, data, a budget too small) has to change."""

    exit_code = 2


class OtherData(UserError):
    """The data lack a column that is asked for, or have a label that nothing is learnt of."""


class GateError(PeftcostError):
    """A promise was not kept: a recipe's quality or cost gate, a regression."""

    exit_code = 3


class EnvironmentFailure(PeftcostError):
    """Storage, network or device failed; trying again may help."""

    exit_code = 4


class SetupFailed(PeftcostError):
    """One setup could not be trained (out of memory, NaN, not applicable). It ends that setup alone."""


class DoesNotFit(SetupFailed):
    """One setup needs more memory than the device has, whatever is done about it; it is never started."""


def is_full_disk(error: BaseException | None) -> bool:
    """Whether this error, or one that it follows, says that a disk is full: libraries wrap that in errors of their own."""
    if error is None:
        return False
    return tells_full_disk(str(error)) or is_full_disk(error.__cause__ or error.__context__)


def tells_full_disk(text: str) -> bool:
    """Whether these are the system's or SQLite's words for a full disk."""
    return any(words in text for words in FULL_DISK)


def did_you_mean(word: str, known: list[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of the known words, or "" when none is near."""
    import difflib

    near = [one for one in known if one.lower() == word.lower()] or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def slash_hint(path: str) -> str:
    """Return " (…)" for a path of Windows where folders are parted by a slash, or ""."""
    return " (folders are parted by / here, not by \\)" if os.sep == "/" and "\\" in path else ""


def first_line(error: BaseException) -> str:
    """What an error of a library says, short enough for a sentence."""
    return (str(error) or type(error).__name__).splitlines()[0]
