"""Writes the data that the suites need and no built-in data set is, into benchmarks/suites/data/.

python benchmarks/suite_data.py

ratings.csv: snippets of movie reviews with their mean human rating. comparisons.csv: two of them, and which is rated higher.
editorials.csv: two sentences, and whether they come from the same editorial. kinds.csv: tweets with the kinds of entities
that they name. None of it is part of the repository.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

from table_plans import rated_reviews, snippets, write_csv

from peftcost.data.builtin import builtin_table

CLEARLY = 1.0
"""On the scale of -4 to 4: by how much snippets that are compared differ."""
EDITORIALS_A_BLOCK = 5
"""Sentences that do not belong together are of the same block, and a block goes to one split."""
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


def editorials(sentences: list[tuple[str, str]]) -> list[tuple[str, str, str, int]]:
    """Two sentences, whether they follow each other in an editorial, and a number that tells which editorials the pair is
    from. sentences: each with its editorial, in order. No sentence is in two pairs."""
    of: dict[str, list[str]] = {}
    for editorial, sentence in sentences:
        of.setdefault(editorial, []).append(sentence)
    drawn = random.Random(0)
    found = []
    shuffled = drawn.sample(sorted(of), len(of))
    blocks = math.ceil(len(of) / EDITORIALS_A_BLOCK)
    for block in range(blocks):
        names = shuffled[block::blocks]
        pairs = [(name, one, other) for name in names for one, other in zip(of[name][::2], of[name][1::2], strict=False)]
        drawn.shuffle(pairs)
        apart = pairs[: len(pairs) // 2]
        found += [(one, other, "yes", block) for _, one, other in pairs[len(apart) :]]
        for (name, one, _), (others_name, _, other) in zip(apart, [*apart[1:], *apart[:1]], strict=True):
            if name != others_name:
                found.append((one, other, "no", block))
    return found


def kinds() -> list[tuple[str, str]]:
    """Each tweet of WNUT-16 with the types of its entities, a JSON list."""
    rows = builtin_table("wnut16").rows
    return [(" ".join(row["tokens"]), json.dumps(sorted({tag[2:] for tag in row["tags"]} - {""}))) for row in rows]


def main() -> None:
    sentences = [(identifier.split("_")[0], text) for identifier, _, text in snippets("nytEditorial")]
    rated = rated_reviews()
    write_csv(DATA / "ratings.csv", ("text", "rating"), [(text, rating) for rating, text in rated])
    write_csv(DATA / "comparisons.csv", ("first", "second", "better"), comparisons(rated))
    write_csv(DATA / "editorials.csv", ("first", "second", "same", "block"), editorials(sentences))
    write_csv(DATA / "kinds.csv", ("text", "kinds"), kinds())
    for file in sorted(DATA.glob("*.csv")):
        print(file)


if __name__ == "__main__":
    main()
