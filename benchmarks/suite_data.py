"""Writes the data that benchmarks/suites/methods.yaml needs and no built-in data set is, into benchmarks/suites/data/.

python benchmarks/suite_data.py

ratings.csv: snippets of movie reviews with their mean human rating. comparisons.csv: two of them, and which is rated higher.
kinds.csv: tweets with the kinds of entities that they name. None of it is part of the repository.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from table_plans import rated_reviews, write_csv

from peftcost.data.builtin import builtin_table

CLEARLY = 1.0
"""On the scale of -4 to 4: by how much snippets that are compared differ."""
DATA = Path(__file__).parent / "suites" / "data"


def comparisons(rated: list[tuple[float, str]]) -> list[tuple[str, str, str]]:
    """Two snippets, each in one pair alone, and which of them is rated higher by CLEARLY or more."""
    shuffled = random.Random(0).sample(rated, len(rated))
    pairs = zip(shuffled[::2], shuffled[1::2], strict=False)
    return [
        (one, other, "first" if above > below else "second")
        for (above, one), (below, other) in pairs
        if abs(above - below) >= CLEARLY
    ]


def kinds() -> list[tuple[str, str]]:
    """Each tweet of WNUT-16 with the types of its entities, a JSON list."""
    rows = builtin_table("wnut16").rows
    return [(" ".join(row["tokens"]), json.dumps(sorted({tag[2:] for tag in row["tags"]} - {""}))) for row in rows]


def main() -> None:
    rated = rated_reviews()
    write_csv(DATA / "ratings.csv", ("text", "rating"), [(text, rating) for rating, text in rated])
    write_csv(DATA / "comparisons.csv", ("first", "second", "better"), comparisons(rated))
    write_csv(DATA / "kinds.csv", ("text", "kinds"), kinds())
    for file in sorted(DATA.glob("*.csv")):
        print(file)


if __name__ == "__main__":
    main()
