"""The errors that people see. Each carries the exit code that scripts rely on.

An error says in one sentence what is wrong and where (file, row, column, field), and what to do.
"""


class PeftcostError(Exception):
    """Something went wrong that has a known cause; exit code 1 (our fault) unless a subclass says otherwise."""

    exit_code = 1


class UserError(PeftcostError):
    """The user's input (flags, task, data, a budget too small) has to change."""

    exit_code = 2


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


def did_you_mean(word: str, known: list[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of the known words, or "" when none is near."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
