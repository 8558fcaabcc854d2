"""`peftcost check`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peftcost.cli.options import TASK, JsonOption, LabelOption, SeedOption, SkipBadRowsOption
from peftcost.data.guess import listed, shown

if TYPE_CHECKING:
    from peftcost.task.examine import Checked

SHOWN_CLASSES = 30
ORDER = ("train", "dev", "test")
LONGEST_NAME = 30
"""Characters of a file's name that leave a line within 80."""


def check(
    source: Annotated[
        str | None, typer.Argument(help="A task.yaml or a data file. Default ./task.yaml.", rich_help_panel=TASK)
    ] = None,
    label: LabelOption = None,
    skip_bad_rows: SkipBadRowsOption = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Is the data fit to be used? Rows, classes, lengths, leaks, contradictions. Trains nothing."""
    from dataclasses import asdict

    from peftcost.cli.output import print_json
    from peftcost.task.examine import examine
    from peftcost.task.task import load_task

    task = load_task(source or "task.yaml", label, skip_bad_rows)
    if skip_bad_rows:
        task = task.model_copy(update={"skip_bad_rows": True})
    found = examine(task, seed)
    if as_json:
        print_json(asdict(found) | {"shares": found.shares})
        return
    print("\n".join(lines_of(found)))


def used_of(rows: int, whole: int) -> str:
    return f"{rows:,}" if rows == whole else f"{rows:,} of {whole:,}"


def origin_of(name: str, found: Checked) -> str:
    """Which file a split comes from."""
    file = found.files["train"]
    short = file if "://" in file else Path(file).name
    short = short if len(short) <= LONGEST_NAME else f"…{short[1 - LONGEST_NAME :]}"
    if name not in found.given:
        return f"split off from {short}"
    return f"the rest of {short}" if name == "train" and found.asked else "its own file"


def split_by(found: Checked) -> list[str]:
    """By which columns the rows were split, if by any, and where that made other splits than were asked for."""
    ways = [f"by time ({found.time!r}): the latest rows are {', then '.join(found.asked)}"] if found.time else []
    ways += [f"by group ({found.group!r}): each stays whole"] if found.group else []
    if not ways or not found.asked:
        return []
    odd = [f"{name} {n:,}" for name, n in found.asked.items() if n != found.whole[name]]
    so = [f"so sizes differ from those asked for ({', '.join(odd)} rows)"] if odd else []
    return ["split " + line for line in ways] + so


def lines_of(found: Checked) -> list[str]:
    """The findings as people read them."""
    from peftcost.tasks import get_task_type

    roles = ", ".join(f"{role} = {shown(column)}" for role, column in found.columns.items())
    lines = [f"{found.task}: {roles}; metric {found.metric}, margin {found.margin:g}"]
    lines += [f"Not used: {listed(found.unused)}", ""] if found.unused else [""]
    used = {name: used_of(found.rows[name], found.whole[name]) for name in ORDER}
    width = max(9, *map(len, used.values()))
    lines += [f"{name:<6}{used[name]:>{width}} rows {found.shares[name]:>6.1%}  {origin_of(name, found)}" for name in ORDER]
    lines += split_by(found)
    if found.classes:
        width = max(5, *(len(name) for name in found.classes))
        lines += ["", f"{'class':<{width}}{'train':>9}{'dev':>9}{'test':>9}   recall on dev is known to"]
        for name, counts in list(found.classes.items())[:SHOWN_CLASSES]:
            known = f"± {0.98 / counts['dev'] ** 0.5:.2f}" if counts["dev"] else "nothing: no row"
            lines.append(f"{name:<{width}}" + "".join(f"{counts[split]:>9,}" for split in ORDER) + f"   {known}")
        if len(found.classes) > SHOWN_CLASSES:
            lines.append(f"… and {len(found.classes) - SHOWN_CLASSES} more classes (--json lists them)")
    if found.tokens is not None:
        seen, measured = found.tokens, get_task_type(found.task).measured
        scripts = ", ".join(f"{script} {share:.1%}" for script, share in seen.unknown.items())
        lines += [
            "",
            f"tokens {measured}: median {seen.median}, 5 % have {seen.high} or more, longest {seen.longest}; "
            f"{seen.cut:.1%} are cut at {seen.max_length}",
            f"tokens that the base does not know, by script: {scripts}",
        ]
    if found.inputs:
        lines += ["", *found.inputs]
    if found.rejected:
        lines += ["", f"{len(found.rejected)} bad rows are left out:", *(f"  {problem}" for problem in found.rejected)]
    lines += ["", *(f"! {warning}" for warning in found.warnings)] if found.warnings else ["", "Nothing is wrong with it."]
    return lines
