"""What `peftcost doctor` shows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from peftcost.core.memory import format_bytes
from peftcost.doctor.advice import Advice, advise
from peftcost.doctor.findings import DeviceFacts, Findings, SelfTest

STYLES = {"problem": "bold red", "warning": "yellow", "note": "dim"}


def doctor_tables(found: Findings) -> list[RenderableType]:
    """The machine, the short trainings, the methods, and last (where one looks first) what to do."""
    return [
        rows_table("Machine", machine_rows(found)),
        rows_table("Training a small model", [(test.precision, precision_words(test)) for test in found.precisions]),
        rows_table("Methods", method_rows(found)),
        verdict(found, advise(found)),
    ]


def rows_table(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table


def machine_rows(found: Findings) -> list[tuple[str, str]]:
    rows = [("device" if device.default else "also here", device_words(device)) for device in found.devices]
    quota = f", of which the container may use {found.cpu_quota:.1f}" if found.cpu_quota is not None else ""
    rows.append(("cores", f"{found.cores}{quota}; {found.load.busy_cores:.1f} in use by others"))
    rows.append(("memory", f"{format_bytes(found.memory.free_bytes)} of {format_bytes(found.memory.total_bytes)} free"))
    state = "not usable" if found.storage.why_not else "a study can be made and locked"
    rows.append(("runs", f"{found.storage.folder}: {format_bytes(found.storage.free_bytes)} free, {state}"))
    rows.append(("model hub", f"{found.hub.state}; {found.hub.cached_models} models in {found.hub.cache}"))
    rows += [("environment", f"{name}={value}") for name, value in found.environment.items()]
    libraries = ", ".join(f"{name} {version}" for name, version in found.libraries.items())
    rows.append(("libraries", libraries))
    return rows


def device_words(device: DeviceFacts) -> str:
    memory = f"{format_bytes(device.free_bytes)} of {format_bytes(device.total_bytes)} free"
    why_not = f"; cannot be used: {device.why_not}" if device.why_not else ""
    return f"{device.name} ({device.kind}, {device.threads} threads), {memory}{why_not}"


def precision_words(test: SelfTest) -> str:
    if test.why_not is not None:
        return f"does not work: {test.why_not}"
    speed = f"{test.steps_per_second:.1f} steps/s" if test.steps_per_second is not None else "works"
    return f"{speed}, loss {test.first_loss:.3f} to {test.last_loss:.3f} in {test.steps} steps"


def method_rows(found: Findings) -> list[tuple[str, str]]:
    """Those that run in one row; each that does not, with the reason."""
    running = ", ".join(check.name for check in found.methods if check.runs)
    rows = [("run here", running)] if running else []
    return rows + [(check.name, check.why_not or "not tried") for check in found.methods if not check.runs]


def verdict(found: Findings, advice: Sequence[Advice]) -> Text:
    """Whether training works, and the advice."""
    works = (
        ("Training works here.", "bold green") if found.obstacle is None else (f"No training: {found.obstacle}.", "bold red")
    )
    text = Text.assemble(works)
    for item in advice:
        text.append(f"\n{item.level}: ", style=STYLES[item.level])
        text.append(item.text)
    return text
