"""`peftcost doctor`"""

from __future__ import annotations

from peftcost.cli.options import JsonOption
from peftcost.cli.output import print_json, progress_printer
from peftcost.errors import EnvironmentFailure


def doctor(as_json: JsonOption = False) -> None:
    """What this machine has, whether training works on it, and what to do about what is wrong."""
    from rich.console import Console

    from peftcost.cli.doctor_tables import doctor_tables
    from peftcost.doctor import examine, told

    found = examine(progress_printer(as_json))
    if as_json:
        print_json(told(found))
    else:
        for part in doctor_tables(found):
            Console().print(part)
    if found.obstacle is not None:
        raise EnvironmentFailure(f"Nothing can be trained here: {found.obstacle}.")
