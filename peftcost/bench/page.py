"""What bench.html shows, ready to print, from the facts of bench.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from peftcost.bench.diagram import Diagram, diagram_of
from peftcost.core.percent import percent
from peftcost.report import numbers
from peftcost.report.marks import Mark, mark_of, outline
from peftcost.report.numbers import Cell, plural

Facts = Mapping[str, Any]
MOST_PAIRS = 12
"""Contenders in the table of all against all; more cannot be read."""
MOST_LINES = 20
"""Setups in the first table; all of them stand below it."""
MOST_RANKED = 24
"""Contenders in the diagram."""
SIGNS = {1: "better", 0: "", -1: "worse", None: ""}


@dataclass(frozen=True)
class Place:
    """A contender in a task."""

    quality: Cell
    low: Cell
    high: Cell
    sign: str
    is_best: bool
    cost: Cell
    cost_ratio: str
    memory: Cell
    memory_ratio: str
    setup: str


@dataclass(frozen=True)
class Line:
    """A contender over all tasks. places: by task; None where it was not measured."""

    key: str
    name: str
    method: str
    rank: str
    difference: str
    time: str
    memory: str
    verdicts: str
    is_reference: bool
    is_best: bool
    places: list[Place | None]


@dataclass(frozen=True)
class BenchPage:
    """first: so many lines are shown at once. ends: of their intervals, and of all. matrix: of the
    first contenders each against each, as (wins, ties, losses) or None. unmeasured: (setup, task, seed, reason). order,
    marks, outlines: of methods."""

    title: str
    eyebrow: str
    source: str
    question: str
    advice: list[str]
    tasks: list[Facts]
    lines: list[Line]
    first: int
    reference: str
    cost_word: str
    ends: tuple[tuple[float, float], tuple[float, float]]
    diagram: Diagram | None
    names: dict[str, str]
    ranked: str
    matrix: list[list[tuple[int, int, int] | None]]
    left_out: int
    unmeasured: list[tuple[str, str, int, str]]
    trainings: list[Facts]
    facts: list[tuple[str, str]]
    command: str
    marks: dict[str, Mark]
    outlines: dict[str, str]
    order: dict[str, int]


def page_of(facts: Facts) -> BenchPage:
    contenders = {c["key"]: c for c in facts["contenders"]}
    methods = list(dict.fromkeys(contenders[s["contender"]]["method"] for s in facts["standings"]))
    methods += [c["method"] for c in facts["contenders"] if c["method"] not in methods]
    methods = list(dict.fromkeys(methods))
    cells = {(cell["task"], cell["contender"]): cell for cell in facts["cells"]}
    ranks = facts["ranks"]
    lines = [line_of(s, contenders[s["contender"]], facts, cells) for s in facts["standings"]]
    shown = facts["wins"]["order"][:MOST_PAIRS]
    names = {key: c["name"] for key, c in contenders.items()}
    return BenchPage(
        title=facts["title"],
        eyebrow=f"{facts['device']['name']} · {plural(len(facts['seeds']), 'seed')}",
        source=facts["source"],
        question=question(facts),
        advice=advice(facts),
        tasks=facts["tasks"],
        lines=lines,
        first=MOST_LINES,
        reference=names.get(facts["reference"], ""),
        cost_word="CPU time" if facts["device"]["kind"] == "cpu" else "GPU time",
        ends=(ends_of(lines[:MOST_LINES]), ends_of(lines)),
        diagram=diagram_of(ranks["means"], ranks["groups"], ranks["critical_difference"])
        if ranks and len(ranks["means"]) <= MOST_RANKED
        else None,
        names=names,
        ranked=ranked_text(facts),
        matrix=matrix_of(shown, facts),
        left_out=len(lines) - len(shown),
        unmeasured=[(t["setup"], t["task"], t["seed"], t["reason"]) for t in facts["trainings"] if t["reason"]],
        trainings=[t for t in facts["trainings"] if not t["reason"]],
        facts=[("versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))],
        command=facts["command"],
        marks={method: mark_of(method) for method in methods},
        outlines={method: outline(mark_of(method).shape) for method in methods},
        order={method: number for number, method in enumerate(methods)},
    )


def ends_of(lines: list[Line]) -> tuple[float, float]:
    """The lowest and the highest end of their intervals."""
    ends = [end.known for line in lines for place in line.places if place is not None for end in (place.low, place.high)]
    return min(ends, default=0.0), max(ends, default=0.0)


def line_of(standing: Facts, contender: Facts, facts: Facts, cells: Mapping[tuple[str, str], Facts]) -> Line:
    key = contender["key"]
    told = standing["quality_difference"] is not None
    is_reference = key == facts["reference"]
    return Line(
        key=key,
        name=contender["name"],
        method=contender["method"],
        rank="" if standing["mean_rank"] is None else f"{standing['mean_rank']:.2f}",
        difference=f"{standing['quality_difference']:+.3f}" if told and not is_reference else "",
        time="" if standing["time_ratio"] is None or is_reference else percent(standing["time_ratio"]),
        memory="" if standing["memory_ratio"] is None or is_reference else percent(standing["memory_ratio"]),
        verdicts="" if is_reference else f"{standing['wins']} / {standing['ties']} / {standing['losses']}",
        is_reference=is_reference,
        is_best=key == facts["standings"][0]["contender"],
        places=[place_of(cells.get((task["name"], key)), task, facts, cells) for task in facts["tasks"]],
    )


def place_of(cell: Facts | None, task: Facts, facts: Facts, cells: Mapping[tuple[str, str], Facts]) -> Place | None:
    if cell is None:
        return None
    best = max(c["quality"] for c in facts["cells"] if c["task"] == task["name"])
    reference = cells.get((task["name"], facts["reference"]))
    low, high = cell["quality_interval"]
    return Place(
        quality=numbers.quality(cell["quality"]),
        low=numbers.quality(low),
        high=numbers.quality(high),
        sign="" if cell["contender"] == facts["reference"] else SIGNS[cell["against_reference"]],
        is_best=cell["quality"] == best,
        cost=numbers.seconds(cell["gpu_seconds"]),
        cost_ratio=share_of(cell, reference, "gpu_seconds"),
        memory=numbers.size(cell["peak_bytes"]),
        memory_ratio=share_of(cell, reference, "peak_bytes"),
        setup=cell["setup"],
    )


def share_of(cell: Facts, reference: Facts | None, figure: str) -> str:
    if reference is None or reference is cell or not cell[figure] or not reference[figure]:
        return ""
    return percent(cell[figure] / reference[figure])


def question(facts: Facts) -> str:
    tasks = ", ".join(f"{task['name']} ({task['metric']}, {task['rows']:,} {task['split']} rows)" for task in facts["tasks"])
    return f"What does each way to fine-tune reach, and what does it take, on {tasks}?"


def advice(facts: Facts) -> list[str]:
    """Which is the best, which the cheapest that is not shown to be worse, and how far to trust that."""
    standings, tasks = facts["standings"], facts["tasks"]
    if not standings:
        return ["Nothing was measured; the reasons are below."]
    names = {c["key"]: c["name"] for c in facts["contenders"]}
    best = standings[0]
    name = names[best["contender"]]
    if len(tasks) == 1:
        first = f"Best: {name}, {best['mean_quality']:.3f} {tasks[0]['metric']}."
    elif best["mean_rank"] is None:
        first = f"Best on average: {name}; no ranks are told, since too little was measured in every task."
    else:
        first = f"Best over the {len(tasks)} tasks: {name}, with a mean rank of {best['mean_rank']:.2f}."
    return [first, cheapest(facts, best, names), trust(facts)]


def cheapest(facts: Facts, best: Facts, names: Mapping[str, str]) -> str:
    """Of those that are in no task shown to be worse than the best."""
    known, wins = facts["wins"]["order"], facts["wins"]["table"]
    at = known.index(best["contender"]) if best["contender"] in known else None
    worse = [] if at is None else [key for key, n in zip(known, wins[at], strict=True) if n]
    able = [s for s in facts["standings"] if s["contender"] in known and s["contender"] not in worse and s["time_ratio"]]
    found = min([*able, best], key=lambda s: s["time_ratio"] or float("inf"))
    shown = plural(len(worse), "other") if worse else "none of the others"
    where = "" if len(facts["tasks"]) == 1 else " in some task"
    beaten = f"It is shown to be better{where} than {shown}"
    if found is best:
        return f"{beaten}, and nothing cheaper keeps up with it."
    reference = names.get(facts["reference"], "")
    price = ""
    if found["time_ratio"] and found["memory_ratio"] and found["contender"] != facts["reference"]:
        price = (
            f": {percent(found['time_ratio'])} of the time and {percent(found['memory_ratio'])} of the memory of {reference}"
        )
        price += f", {found['quality_difference']:+.3f} in quality"
    return f"{beaten}. The cheapest that is not shown to be worse than it is {names[found['contender']]}{price}."


def trust(facts: Facts) -> str:
    ranks = facts["ranks"]
    if ranks is None:
        few = (
            "One task says nothing of others"
            if len(facts["tasks"]) == 1
            else "Too little was measured in every task for ranks"
        )
        return f"{few}; what is called better or worse is so on these rows, beyond chance (95 %)."
    tasks = plural(ranks["tasks"], "task")
    if ranks["p"] < 0.05:
        return (
            f"That the ranks differ is beyond chance (Friedman, p = {p_text(ranks['p'])}); over {tasks} two contenders are "
            f"told apart when their mean ranks differ by {ranks['critical_difference']:.2f} (Nemenyi)."
        )
    return (
        f"Over {tasks} the ranks differ by no more than chance may bring (Friedman, p = {p_text(ranks['p'])}): look at the "
        "tasks one by one."
    )


def p_text(p: float) -> str:
    return "0.001 or less" if p < 0.001 else f"{p:.2g}"


def ranked_text(facts: Facts) -> str:
    ranks = facts["ranks"]
    if ranks is None:
        return ""
    left_out = len(facts["contenders"]) - len(ranks["means"])
    told = (
        f"Mean rank over {plural(ranks['tasks'], 'task')}, 1 being the best. Under one bar: not told apart, since their mean "
        f"ranks differ by less than the critical difference CD = {ranks['critical_difference']:.2f} (Nemenyi, 95 %). "
        f"Friedman’s test of whether any differ: p = {p_text(ranks['p'])}."
    )
    return told + (f" {plural(left_out, 'contender')} not measured in every task stand in no rank." if left_out else "")


def matrix_of(keys: list[str], facts: Facts) -> list[list[tuple[int, int, int] | None]]:
    """Row against column: tasks in which the one is shown to be better, neither, the other."""
    place, wins, tasks = {key: i for i, key in enumerate(facts["wins"]["order"])}, facts["wins"]["table"], len(facts["tasks"])

    def counts(row: str, column: str) -> tuple[int, int, int] | None:
        if row == column:
            return None
        better, worse = wins[place[row]][place[column]], wins[place[column]][place[row]]
        return better, tasks - better - worse, worse

    return [[counts(row, column) for column in keys] for row in keys]


def page_data(page: BenchPage, facts: Facts) -> dict[str, Any]:
    """What the scripts read: a row for each contender in each task."""
    columns = ["task", "method", "name", "quality", "low", "high", "time", "memory", "latency"]
    methods = {c["key"]: c["method"] for c in facts["contenders"]}
    tasks = [task["name"] for task in facts["tasks"]]
    rows = []
    for cell in facts["cells"]:
        low, high = cell["quality_interval"]
        numbers_of = (cell["quality"], low, high, cell["gpu_seconds"], cell["peak_bytes"], cell["latency_seconds"])
        name = page.names[cell["contender"]]
        words = name if cell["setup"] in ("", name) else f"{name}: {cell['setup']}"
        drawn = [None if value is None else float(f"{value:.6g}") for value in numbers_of]
        rows.append([tasks.index(cell["task"]), methods[cell["contender"]], words, *drawn])
    return {
        "cost_word": page.cost_word,
        "tasks": [{"name": task["name"], "metric": task["metric"], "split": task["split"]} for task in facts["tasks"]],
        "methods": {method: asdict(mark) for method, mark in page.marks.items()},
        "columns": columns,
        "rows": rows,
    }
