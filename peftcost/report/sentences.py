"""The sentences of a report: what was asked, what is recommended, and how far one can trust it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.core.percent import percent
from peftcost.data.guess import names_of
from peftcost.report.by_method import is_contended
from peftcost.report.choices import choices_of, words_of
from peftcost.report.numbers import epochs, of_its, period, plural

HEADLINE_CHOICES = {"model", "learning_rate", "rank", "rslora", "dora", "top_layers", "stop_examples"}

POLICIES = {
    "non-inferior": "the cheapest setup shown to be within {margin:g} of the best, else the cheapest expected to be",
    "best-quality": "the best expected",
    "cheapest": "the lowest cost, whatever its quality",
    "lowest-memory": "the least memory among the setups shown to be within {margin:g} of the best, else expected to be",
    "knee": "where more cost starts to buy little quality",
    "named": "the setup that was asked for",
}

Result = Mapping[str, Any]
Entry = Mapping[str, Any]


def measured_entries(result: Result) -> list[Entry]:
    return [entry for entry in result["setups"] if entry["status"] == "measured"]


def recommended_entry(result: Result) -> Entry | None:
    """The setup that the recommendation names, or None."""
    advice = result["recommendation"]
    return next((e for e in measured_entries(result) if advice and e["id"] == advice["id"]), None)


def best_entry(result: Result) -> Entry | None:
    """The best quality on dev, of the setups that were compared."""
    advice = result["recommendation"]
    if advice and advice.get("best"):
        return next(e for e in measured_entries(result) if e["id"] == advice["best"])
    return max(measured_entries(result), key=lambda e: e["quality"], default=None)


def full_as_far(result: Result, entry: Entry) -> Entry | None:
    """A full fine-tuning that was trained as far, but no farther than needs be: what people would have done without a search.
    Of several the best one, but one whose times can be relied on, if there is any."""
    full = [e for e in measured_entries(result) if e["method"] == "full" and e["stop_examples"] >= entry["stop_examples"]]
    return min(full, key=lambda e: (is_contended(e), e["stop_examples"], -e["quality"]), default=None)


def train_rows(result: Result) -> int:
    return result["task"]["rows"]["train"]


def process_bytes(entry: Entry) -> float | None:
    """What the system or the driver saw at the peak: what a container needs. Of older results a mean over measurements."""
    seen = [m["process_peak_bytes"] for m in entry["measurements"]]
    return entry.get("process_peak_bytes") or (sum(seen) / len(seen) if seen else None)


def cost_word(result: Result) -> str:
    """gpu_seconds are counted on CPUs as well; say on what."""
    return "CPU time" if result["devices"]["kind"] == "cpu" else "GPU time"


def title(result: Result) -> str:
    return f"Fine-tuning {models_text(result)} for {result['task']['task']}"


def models_text(result: Result) -> str:
    """The base, or the bases."""
    model = result["task"]["model"]
    return model if isinstance(model, str) else " or ".join(model)


def data_text(result: Result) -> str:
    """The data as it was named: one file or builtin, or a file per split."""
    data = result["task"]["data"]
    if isinstance(data, str):
        return data
    named = {split: path for split, path in data.items() if path}
    if list(named) == ["train"]:
        return f"{named['train']} (dev and test split off)"
    return ", ".join(f"{split} {path}" for split, path in named.items())


def question(result: Result) -> str:
    """What was asked, in one sentence."""
    task = result["task"]
    return (
        f"Which setup is the cheapest way to fine-tune {models_text(result)} on this data that is as good as the best one, "
        f"to within {task['margin']:g} of {task['metric']}?"
    )


def particulars(result: Result) -> list[tuple[str, str]]:
    """What was asked, in detail: data, rows, budget, device."""
    task, budget, devices = result["task"], result["budget"], result["devices"]
    rows, targets = task["rows"], task.get("targets")
    columns = ", ".join(f"{role}: {' + '.join(names_of([column]))}" for role, column in task["columns"].items())
    found = [
        ("data", f"{data_text(result)}; columns {columns}"),
        ("rows", f"{rows['train']:,} to train on, {rows['dev']:,} to compare on (dev), {rows['test']:,} to test on"),
    ]
    if targets:
        found.append(("targets", targets))
    found += [
        ("methods", ", ".join(dict.fromkeys(entry["method"] for entry in result["setups"])) or "none"),
        ("budget", spent_text(budget)),
        (
            "device",
            f"{devices['count']} × {devices['name']} ({devices['kind']}, {plural(devices['threads'], 'thread')})",
        ),
        ("when", period(result["started"], result["ended"])),
    ]
    return found


def spent_text(budget: Mapping[str, Any]) -> str:
    spent, limit = format_seconds(budget["spent_gpu_seconds"]), format_seconds(budget["limit_gpu_seconds"])
    stopped = budget["stopped_because"]
    return f"{limit}, of which {spent} spent" + (f"; stopped because {stopped}" if stopped else "")


def headline(result: Result) -> str:
    """The recommendation as an instruction, or as a bet while it is not confirmed."""
    entry = recommended_entry(result)
    if entry is None:
        return "Nothing is recommended"
    start = "Use" if result["recommendation"]["confirmed"] else "Best bet so far:"
    length = epochs(entry["stop_examples"], train_rows(result))
    return f"{start} {entry['method']} with {choices_of(entry, HEADLINE_CHOICES)}" + (f" ({length})" if length else "")


def policy_text(result: Result) -> str:
    """By which rule the recommended setup was chosen; empty when nothing is recommended."""
    advice = result["recommendation"]
    if not advice:
        return ""
    meaning = POLICIES.get(advice["policy"], "").format(margin=advice["margin"])
    return f"{advice['policy']}: {meaning}" if meaning else str(advice["policy"])


def beside(result: Result) -> list[str]:
    """What else one could do: the next setups in quality and in cost, training again and again, searching on."""
    return [text for text in (neighbours(result), payback(result), twice_the_budget(result), twice_the_rows(result)) if text]


def neighbours(result: Result) -> str | None:
    """What the next better and the next cheaper setup would give and cost."""
    advice, found = result["recommendation"], []
    by_id = {entry["id"]: entry for entry in measured_entries(result)}
    for name, kind in (("next_better", "better"), ("next_cheaper", "cheaper")):
        entry = by_id.get(advice.get(name)) if advice else None
        if entry is not None:
            cost = format_seconds(entry["gpu_seconds"])
            words = words_of(entry, train_rows(result))
            found.append(f"the next {kind}, {words}, reaches {entry['quality']:.3f} at {cost}")
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}." if text else None


def twice_the_budget(result: Result) -> str | None:
    """What the same budget again would likely bring; None where nobody guessed."""
    more = (result["recommendation"] or {}).get("twice_the_budget")
    if not more:
        return None
    if more["chance"] == 0:
        return "Twice the budget would hardly find anything better, or as good and cheaper."
    chance = percent(more["chance"])
    start = f"Twice the budget would find something better, or as good and cheaper, with a chance of about {chance}"
    gain = f"{more['quality_gain']:+.3f} {result['task']['metric']} at {of_its(more['cost_share'], 'cost')}"
    return f"{start}: on average {gain}, as far as can be guessed from what was measured."


def twice_the_rows(result: Result) -> str | None:
    """What as many training rows again would likely bring; None where it was not measured."""
    more = (result["recommendation"] or {}).get("twice_the_rows")
    if not more:
        return None
    low, high = more["gain_interval"]
    seen = ", ".join(f"{q:.3f} on {n:,}" for n, q in zip(more["train_rows"], more["qualities"], strict=True))
    return (
        f"Twice the training rows would bring about {more['gain']:+.3f} {result['task']['metric']} to this setup "
        f"(95 %: {low:+.3f} to {high:+.3f}), going by {seen} rows."
    )


def payback(result: Result) -> str | None:
    """After how many retrainings the search has paid for itself, where a full fine-tuning trained as far takes longer; None
    where that was only timed on a busy machine."""
    entry = recommended_entry(result)
    full = full_as_far(result, entry) if entry else None
    if entry is None or full is None or is_contended(full) or full["gpu_seconds"] <= entry["gpu_seconds"]:
        return None
    length = ", ".join(
        filter(None, [f"{full['stop_examples']:,} examples", epochs(full["stop_examples"], train_rows(result))])
    )
    saved, spent = full["gpu_seconds"] - entry["gpu_seconds"], result["budget"]["spent_gpu_seconds"]
    return (
        f"Each training saves {format_seconds(saved)} against full fine-tuning on {length}: after "
        f"{plural(math.ceil(spent / saved), 'retraining')} the {format_seconds(spent)} of this search are paid back."
    )
