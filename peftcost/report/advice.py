"""The advice in three sentences: what, how sure, and what next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from peftcost.core.budget import format_seconds, typed_budget
from peftcost.core.memory import format_bytes
from peftcost.core.percent import percent
from peftcost.core.statistics import ALPHA
from peftcost.recommend.policies import LIKELY, not_confirmed, sentence, the_best, the_best_measured, too_poor, what_it_takes
from peftcost.report.by_method import is_contended
from peftcost.report.choices import words_of
from peftcost.report.numbers import of_its, plural
from peftcost.report.sentences import (
    best_entry,
    cost_word,
    full_as_far,
    measured_entries,
    process_bytes,
    recommended_entry,
    train_rows,
)

Result = Mapping[str, Any]
Entry = Mapping[str, Any]


def advice(result: Result, run: str, then: str | None = None) -> list[str]:
    """What to use, how sure that is and why not surer, and the command that comes next. run: the run's folder, as it is
    typed; then: the command that comes next; not given: training the run's recipe, where nothing is left to find out."""
    entry = recommended_entry(result)
    if entry is None:
        return ["No setup was measured, so nothing can be recommended; the reasons are below."]
    return [what(result, entry), how_sure(result, entry), *what_next(result, run, then)]


def what(result: Result, entry: Entry) -> str:
    """Quality and price, beside those of the best and of a full fine-tuning that was trained as far."""
    told, (low, high), rows = result["recommendation"], result["recommendation"]["quality_interval"], train_rows(result)
    interval = "" if math.isnan(low) else f" (95 % interval {low:.3f} to {high:.3f})"
    process = process_bytes(entry)
    seen = "" if process is None else f", its process {format_bytes(process)}"
    reached = (
        f"{words_of(entry, rows)}: {told['quality']:.3f} {result['task']['metric']} on dev{interval}. A training takes "
        f"{format_seconds(told['gpu_seconds'])} of {cost_word(result)}; its tensors take {format_bytes(told['peak_bytes'])} "
        f"of memory{seen}."
    )
    best, full, limited = best_entry(result), full_as_far(result, entry), told.get("limited", False)
    if best is None or len(measured_entries(result)) == 1:
        return f"{reached} It is the only setup that was measured."
    if told.get("alone"):
        return f"{reached} It is the only setup that meets the constraints."
    is_best = best["id"] == entry["id"]
    nothing = f"nothing that {'meets the constraints' if limited else 'was measured'} is better"
    beside = [nothing if is_best else f"{the_best(limited)}, {against(entry, best, rows)}"]
    if full is None:
        beside.append("full fine-tuning was not trained as far")
    elif full["id"] not in (entry["id"], best["id"]):
        beside.append(f"full fine-tuning trained as far, {against(entry, full, rows)}")
    return f"{reached} {sentence('; '.join(beside))}"


def against(entry: Entry, other: Entry, rows: int) -> str:
    """Another setup's quality, and this one's price beside its; of times on a busy machine nothing is said."""
    prices = [of_its(entry["peak_bytes"] / other["peak_bytes"], "memory")]
    if not (is_contended(entry) or is_contended(other)):
        prices.insert(0, of_its(entry["gpu_seconds"] / other["gpu_seconds"], "time"))
    return f"{words_of(other, rows)}, reaches {other['quality']:.3f} and this takes {' and '.join(prices)}"


def how_sure(result: Result, entry: Entry) -> str:
    """Confirmed or not; where not, what stands against it, and how it stands among what was measured."""
    told, rows, margin = result["recommendation"], result["task"]["rows"]["dev"], result["recommendation"]["margin"]
    fresh, difference = plural(confirmations(entry), "fresh seed"), told["resolvable_difference"]
    limited = told.get("limited", False)
    probability = f"probability {percent(told['probability_within_margin'])}"
    if told["confirmed"]:
        shown = f"it is shown to be within {margin:g} of {the_best(limited)} ({probability})"
        return f"Confirmed: trained again with {fresh}, {shown}."
    caveats = [caveat["text"] for caveat in told.get("caveats", ())]
    start = not_confirmed(caveats)
    if told.get("alone", len(measured_entries(result)) == 1):
        return f"{start} There is nothing to compare it with."
    if told["probability_within_margin"] < ALPHA:
        return f"{start} {too_poor(margin, limited)} ({probability})."
    how = "shown to be" if told.get("shown") else "likely"
    among = f"Among what was measured it is {how} within {margin:g} of {the_best(limited)} ({probability}, {fresh})"
    if told["probability_within_margin"] < LIKELY:
        among = f"Whether it is within {margin:g} of {the_best_measured(limited)} cannot be told ({probability}, {fresh})"
    if told.get("shown"):
        return f"{start} {among}."
    best = best_entry(result)
    below_best = 0.0 if best is None else best["quality"] - told["quality"]
    return f"{start} {among}. {what_it_takes(margin, difference, rows, confirmations(entry), below_best)}"


def confirmations(entry: Entry) -> int:
    """How many fresh seeds a setup was trained again with."""
    return sum(m["role"] == "confirm" for m in entry["measurements"])


def what_next(result: Result, run: str, then: str | None = None) -> list[str]:
    """What no larger budget can tell, and a command that can be typed; two where another comes then."""
    told = result["recommendation"]
    more = told.get("more_gpu_seconds")
    remedies = [caveat["remedy"] for caveat in told.get("caveats", ()) if caveat.get("remedy")]
    commands = [f"To be surer: peftcost resume {shlex.quote(run)} --budget +{typed_budget(more)}"] if more else []
    commands += [f"Next: {then or train_command(f'{run}/recipe.yaml')}"] if then or not more else []
    return [" ".join([*remedies, commands[0]]), *commands[1:]]


def train_command(recipe: str) -> str:
    """Of a recipe's file."""
    return f"peftcost train {shlex.quote(recipe)} -o model"
