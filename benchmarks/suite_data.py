"""Writes the data that benchmarks/suites/methods.yaml needs and no built-in data set is, into benchmarks/suites/data/.

python benchmarks/suite_data.py

answers.csv: questions with their own answer, or with one of another question of the same topic. ratings.csv: snippets of
movie reviews with their mean human rating. kinds.csv: tweets with the kinds of entities that they name. None of
it is part of the repository.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from table_plans import rated_reviews, write_csv

from peftcost.data.builtin import builtin_table

DATA = Path(__file__).parent / "suites" / "data"


def answers() -> list[tuple[str, str, str]]:
    """Each question of the dialogue once, with its answer in half of the cases."""
    drawn = random.Random(0)
    by_topic: dict[str, list[tuple[str, str]]] = {}
    for row in builtin_table("dialogue").rows:
        by_topic.setdefault(row["topic"], []).append((row["prompt"], row["completion"]))
    found = []
    for talks in by_topic.values():
        for question, answer in talks:
            others = [other for prompt, other in talks if prompt != question and other != answer]
            if others and drawn.random() < 0.5:
                found.append((question, drawn.choice(others), "no"))
            else:
                found.append((question, answer, "yes"))
    return found


def kinds() -> list[tuple[str, str]]:
    """Each tweet of WNUT-16 with the types of its entities, a JSON list."""
    rows = builtin_table("wnut16").rows
    return [(" ".join(row["tokens"]), json.dumps(sorted({tag[2:] for tag in row["tags"]} - {""}))) for row in rows]


def main() -> None:
    write_csv(DATA / "answers.csv", ("question", "answer", "fits"), answers())
    write_csv(DATA / "ratings.csv", ("text", "rating"), [(text, rating) for rating, text in rated_reviews()])
    write_csv(DATA / "kinds.csv", ("text", "kinds"), kinds())
    for file in sorted(DATA.glob("*.csv")):
        print(file)


if __name__ == "__main__":
    main()
