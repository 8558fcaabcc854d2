"""The sentences of a report: what was asked, what is recommended, and how far one can trust it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from peftcost.core.budget import format_seconds
from peftcost.core.memory import format_bytes
from peftcost.core.statistics import ALPHA
from peftcost.recommend.policies import too_poor, what_it_takes
from peftcost.report.choices import choices_of
from peftcost.report.numbers import percent, period, plural

HEADLINE_CHOICES = {"model", "learning_rate", "rank", "rslora", "dora", "top_layers", "stop_examples"}

POLICIES = {
    "non-inferior": "the cheapest setup shown to be within {margin:g} of the best, else the best observed",
    "best-quality": "the best observed",
    "cheapest": "the lowest cost, whatever its quality",
    "lowest-memory": "the least memory among the setups shown to be within {margin:g} of the best, else the best observed",
    "knee": "where more cost starts to buy little quality",
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
    """The best quality observed on dev, of the setups that were compared."""
    advice = result["recommendation"]
    if advice and advice.get("best"):
        return next(e for e in measured_entries(result) if e["id"] == advice["best"])
    return max(measured_entries(result), key=lambda e: e["quality"], default=None)


def best_full_entry(result: Result) -> Entry | None:
    """The best full fine-tuning: what people would have done without a search."""
    full = [entry for entry in measured_entries(result) if entry["method"] == "full"]
    return max(full, key=lambda e: e["quality"], default=None)


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
    columns = ", ".join(f"{role}: {column}" for role, column in task["columns"].items())
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
    return f"{start} {entry['method']} with {choices_of(entry, HEADLINE_CHOICES)}"


def advice_sentences(result: Result) -> list[str]:
    """Three sentences: what it reaches at which price, against what, and how sure that is."""
    entry, advice = recommended_entry(result), result["recommendation"]
    if entry is None:
        return ["No setup was measured, so nothing can be recommended; the reasons are below."]
    low, high = advice["quality_interval"]
    interval = "" if math.isnan(low) else f" (95 % interval {low:.3f} to {high:.3f})"
    reached = (
        f"It reaches {advice['quality']:.3f} {result['task']['metric']} on dev{interval}, and one training takes "
        f"{format_seconds(advice['gpu_seconds'])} of {cost_word(result)} and {format_bytes(advice['peak_bytes'])} of memory."
    )
    return [reached, against(result, entry), how_sure(result, entry)]


def against(result: Result, entry: Entry) -> str:
    """The recommended setup beside the best observed and full fine-tuning."""
    best, full = best_entry(result), best_full_entry(result)
    if best is None or len(measured_entries(result)) == 1:
        return "It is the only setup that was measured, so there is nothing to compare it with."
    if full is None:
        aside = " Full fine-tuning was not measured."
    elif full["id"] in (entry["id"], best["id"]):
        aside = ""
    else:
        as_long = full["stop_examples"] == entry["stop_examples"]
        name = full["id"] if as_long else f"{full['id']}, {full['stop_examples']:,} examples"
        aside = f" Full fine-tuning ({name}) reaches {full['quality']:.3f}; this takes {shares(entry, full)}."
    if best["id"] == entry["id"]:
        kind = "It is full fine-tuning, and" if entry["method"] == "full" else "It is"
        return f"{kind} the best observed.{aside}"
    name = f"full fine-tuning ({best['id']})" if best["method"] == "full" else best["id"]
    return f"The best observed, {name}, reaches {best['quality']:.3f}; this takes {shares(entry, best)}.{aside}"


def shares(entry: Entry, other: Entry) -> str:
    cost, memory = entry["gpu_seconds"] / other["gpu_seconds"], entry["peak_bytes"] / other["peak_bytes"]
    return f"{percent(cost)} of its cost and {percent(memory)} of its memory"


def how_sure(result: Result, entry: Entry) -> str:
    """Confirmed or not, with the probability, the difference that this evidence can resolve, and what more would take."""
    advice, rows = result["recommendation"], result["task"]["rows"]["dev"]
    again, margin, difference = confirmations(entry), advice["margin"], advice["resolvable_difference"]
    fresh = plural(again, "fresh seed")
    if len(measured_entries(result)) == 1:
        return f"It was trained again with {fresh}." if again else "It was not trained again with fresh seeds."
    sure = f"probability {percent(advice['probability_within_margin'])}"
    told = f"differences above {difference:.3f} can be told apart on {rows:,} dev rows" if difference >= 0.0005 else ""
    if advice["confirmed"]:
        more = f"; {told}" if told else ""
        return f"Trained again with {fresh}, it is shown to be within {margin:g} of the best ({sure}{more})."
    if advice["probability_within_margin"] < ALPHA:
        return f"{too_poor(margin, entry == best_entry(result))} ({sure})."
    more = f"; only {told}" if difference > margin else ""
    need = what_it_takes(margin, difference, rows, again)
    return f"Whether it is truly within {margin:g} of the best cannot be told yet ({sure}{more}). {need}"


def confirmations(entry: Entry) -> int:
    """How many fresh seeds a setup was trained again with."""
    return sum(m["role"] == "confirm" for m in entry["measurements"])


def policy_text(result: Result) -> str:
    """By which rule the recommended setup was chosen; empty when nothing is recommended."""
    advice = result["recommendation"]
    if not advice:
        return ""
    meaning = POLICIES.get(advice["policy"], "").format(margin=advice["margin"])
    return f"{advice['policy']}: {meaning}" if meaning else str(advice["policy"])


def beside(result: Result) -> list[str]:
    """What else one could do: the next setups in quality and in cost, training again and again, searching on."""
    return [text for text in (neighbours(result), payback(result), twice_the_budget(result)) if text]


def neighbours(result: Result) -> str | None:
    """What the next better and the next cheaper setup would give and cost."""
    advice, found = result["recommendation"], []
    by_id = {entry["id"]: entry for entry in measured_entries(result)}
    for name, kind in (("next_better", "better"), ("next_cheaper", "cheaper")):
        entry = by_id.get(advice.get(name)) if advice else None
        if entry is not None:
            found.append(
                f"the next {kind}, {entry['id']}, reaches {entry['quality']:.3f} as observed at "
                f"{format_seconds(entry['gpu_seconds'])}"
            )
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}." if text else None


def twice_the_budget(result: Result) -> str | None:
    """What the same budget again would likely bring; None where nobody guessed."""
    more = (result["recommendation"] or {}).get("twice_the_budget")
    if not more:
        return None
    start = f"Twice the budget would change this advice with a chance of up to {percent(more['chance'])}"
    if more["chance"] == 0:
        return "Twice the budget would hardly change this advice."
    gain = f"{more['quality_gain']:+.3f} {result['task']['metric']} at {percent(more['cost_share'])} of the cost"
    return f"{start}, on average to {gain}, as far as can be guessed from what was measured."


def payback(result: Result) -> str | None:
    """After how many retrainings the search has paid for itself; None when the advice saves nothing."""
    entry = recommended_entry(result)
    other = best_full_entry(result) or best_entry(result)
    if entry is None or other is None or other["gpu_seconds"] <= entry["gpu_seconds"]:
        return None
    saved, spent = other["gpu_seconds"] - entry["gpu_seconds"], result["budget"]["spent_gpu_seconds"]
    name = "full fine-tuning" if other["method"] == "full" else other["id"]
    return (
        f"Each training saves {format_seconds(saved)} against {name}: after {plural(math.ceil(spent / saved), 'retraining')} "
        f"the {format_seconds(spent)} of this search are paid back."
    )
