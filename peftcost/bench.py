"""`peftcost bench suite.yaml`: methods x tasks x seeds at given setups, one comparison report. Resumable."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peftcost.core.setup import Setup
from peftcost.core.versions import versions
from peftcost.cost.device import Device, choose_devices
from peftcost.data.yaml_file import problems_of, read_yaml
from peftcost.engine.job import TrainJob
from peftcost.engine.messages import Done, failure_of
from peftcost.errors import UserError
from peftcost.recipe.recipe import SetupFields, check_choices
from peftcost.runner.books import Books
from peftcost.runner.curve import CurveFile
from peftcost.runner.executor import LocalExecutor
from peftcost.runner.prepare import on_base, prepare_data
from peftcost.runner.runner import Runner
from peftcost.store.journal import Journal
from peftcost.task.splits import load_task_data
from peftcost.task.task import Rows, Task, load_task

Say = Callable[[str], None]


class Suite(BaseModel):
    """suite.yaml: every setup on every task with every seed. rows limits all tasks alike."""

    model_config = ConfigDict(extra="forbid")
    tasks: list[str] = Field(min_length=1)
    setups: list[SetupFields] = Field(min_length=1)
    seeds: list[int] = Field(default=[0], min_length=1)
    rows: Rows | None = None


def load_suite(path: Path) -> Suite:
    """A suite file; UserError that names file and field."""
    if not path.is_file():
        raise UserError(f"There is no suite at {path}; docs/bench.md shows how one is written.")
    try:
        suite = Suite.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path} is not a suite: {problems_of(error)}.") from error
    for fields in suite.setups:
        check_choices(fields.to_setup(), str(path))
    return suite


def run_suite(path: Path, out: Path | None, devices: str | None, say: Say, devices_per_setup: int = 1) -> list[Path]:
    """Measure what is not measured yet and write the report; the paths of the files for people.

    A measurement is a file, so that a suite that was interrupted goes on where it stopped.
    """
    suite = load_suite(path)
    folder = out or Path("bench") / path.stem
    (folder / "measurements").mkdir(parents=True, exist_ok=True)
    tasks = {name: with_rows(load_task(builtin_or_relative(name, path)), suite.rows) for name in suite.tasks}
    device = choose_devices(devices)[:devices_per_setup]
    for name, task in tasks.items():
        run_task(name, task, suite, folder, device, say, devices_per_setup)
    return write_bench_report(folder, suite, device[0])


def builtin_or_relative(name: str, suite: Path) -> str:
    """A task as load_task wants it: paths in a suite are relative to it."""
    return name if name.startswith("builtin:") else str(suite.parent / name)


def with_rows(task: Task, rows: Rows | None) -> Task:
    return task if rows is None else task.model_copy(update={"rows": rows})


def run_task(
    name: str, task: Task, suite: Suite, folder: Path, devices: list[Device], say: Say, devices_per_setup: int
) -> None:
    """All setups and seeds of one task that have no measurement yet."""
    wanted = [(fields.to_setup(), seed) for fields in suite.setups for seed in suite.seeds]
    missing = [(s, seed) for s, seed in wanted if not measurement_file(folder, name, s, seed).exists()]
    say(f"{name}: {len(wanted) - len(missing)} of {len(wanted)} are measured")
    if not missing:
        return
    data = load_task_data(task, seed=0)
    base = on_base(task, data, seed=0)
    with LocalExecutor(devices, folder / "workers.log", devices_per_setup) as executor:
        curve = CurveFile(folder / "measurements" / "curve.jsonl")
        runner = Runner(executor, Journal(), Books(), [curve])
        prepared = prepare_data(runner, base)
        runner.acquire()
        for setup, seed in missing:
            file = measurement_file(folder, name, setup, seed)
            curve.begin(file.with_suffix(".curve.jsonl"))
            facts = measure(runner, prepared, setup, seed)
            if facts["reason"] is None:
                curve.end(facts)
            text = json.dumps({"task": name, **setup.as_dict(), "id": setup.id, **facts}, indent=1)
            file.write_text(text, encoding="utf-8")
            shown = (
                f"{facts['quality']:.3f} at {facts['gpu_seconds']:.1f} gpu-s" if facts["reason"] is None else facts["reason"]
            )
            say(f"{name}: {setup.id}, seed {seed}: {shown}")
        runner.release()


def measure(runner: Runner, prepared: str, setup: Setup, seed: int) -> dict[str, Any]:
    """One training; a setup that fails is a result too, with its reason."""
    with tempfile.TemporaryDirectory(prefix="peftcost-bench-") as scratch:
        (message,) = runner.run_all(
            "train", [TrainJob(prepared, setup, seed, scratch, ranks=len(runner.executor.devices)).as_dict()]
        )
    if isinstance(message, Done):
        return {**message.result, "reason": None}
    return {"seed": seed, "reason": failure_of(message)}


def measurement_file(folder: Path, task: str, setup: Setup, seed: int) -> Path:
    plain = "".join(c if c.isalnum() else "-" for c in task)
    return folder / "measurements" / f"{plain}--{setup.id}--{seed}.json"


def write_bench_report(folder: Path, suite: Suite, device: Device) -> list[Path]:
    """bench.json, bench.md, bench.html: one table a task, mean and spread over seeds."""
    tables = {
        name: [bench_row(folder, name, fields.to_setup(), suite.seeds) for fields in suite.setups] for name in suite.tasks
    }
    for rows in tables.values():
        rows.sort(key=lambda row: row["gpu_seconds"] if row["reason"] is None else float("inf"))
    facts = {"device": device.as_dict(), "seeds": suite.seeds, "versions": versions(), "tables": tables}
    (folder / "bench.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    paths = []
    for kind in ("md", "html"):
        environment = Environment(
            loader=PackageLoader("peftcost.report"),
            autoescape=kind == "html",
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        text = environment.get_template(f"bench.{kind}").render(facts=facts)
        paths.append(folder / f"bench.{kind}")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def bench_row(folder: Path, task: str, setup: Setup, seeds: list[int]) -> dict[str, Any]:
    """Means over seeds and the spread of quality; the reason if any seed failed."""
    found = [json.loads(measurement_file(folder, task, setup, seed).read_text(encoding="utf-8")) for seed in seeds]
    row: dict[str, Any] = {"id": setup.id, **setup.as_dict(), "seeds": len(found)}
    reasons = [f["reason"] for f in found if f["reason"] is not None]
    if reasons:
        return {**row, "reason": reasons[0]}
    qualities = [f["quality"] for f in found]
    means = {name: statistics.fmean(f[name] for f in found) for name in ("gpu_seconds", "peak_bytes", "latency_seconds")}
    spread = statistics.stdev(qualities) if len(qualities) > 1 else None
    return {**row, **means, "quality": statistics.fmean(qualities), "quality_sd": spread, "reason": None}
