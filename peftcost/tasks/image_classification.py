"""Image classification: one picture, one of several classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peftcost.data.cells import LOOKED_AT, label_of
from peftcost.data.features import Column, Split
from peftcost.data.guess import LABEL_NAMES, label_column
from peftcost.data.images import is_picture, opened, pictures
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import Baseline, Example
from peftcost.tasks.image_inputs import ImageInputs
from peftcost.tasks.one_class import OneClass, class_column, majority_rows, rows_of
from peftcost.tasks.targets import Targets

if TYPE_CHECKING:
    from peftcost.tasks.image_inputs import PixelReader

SMALL = 16
"""Width and height to which the classical baseline shrinks pictures."""
COMPONENTS = 64
SHOWN_KINDS = 4


class ImageClassification(ImageInputs, OneClass):
    """An example's "image" is the hash of its pixels, and its "file" is where they are."""

    name = "image-classification"
    input_roles = ("image",)
    auto_model = "AutoModelForImageClassification"
    default_model = "google/vit-base-patch16-224-in21k"
    precedence = 10

    def guess_columns(self, table: Table, label: str | None) -> dict[str, str] | None:
        columns = [name for name in table.columns if name != label and holds_pictures(table, name)]
        if not columns:
            return None
        if len(columns) > 1:
            raise UserError(
                f"{table.path} holds pictures in several columns ({', '.join(map(repr, columns))}); write a task.yaml with "
                "`columns: {image: …, label: …}`."
            )
        others = [name for name in table.columns if name not in columns]
        if label is None and len(others) == 1 and others[0].lower() not in LABEL_NAMES:
            label = others[0]
        return {"image": columns[0], "label": label_column(table, label)}

    def read(self, table: Table, columns: Mapping[str, str], labelled: bool = True) -> list[Example]:
        places = [f"{table.place(i)}, column {columns['image']!r}" for i in range(len(table.rows))]
        labels = [
            label_of(row.get(columns["label"]), f"{table.place(i)}, column {columns['label']!r}") if labelled else ""
            for i, row in enumerate(table.rows)
        ]
        path = Path(table.path)
        seen = pictures([row.get(columns["image"]) for row in table.rows], places, path if path.is_dir() else path.parent)
        return [
            {
                "image": picture.digest,
                "file": picture.file,
                "size": picture.size,
                "mode": picture.mode,
                "place": table.place(i),
                **({"label": labels[i]} if labelled else {}),
            }
            for i, picture in enumerate(seen)
        ]

    def content(self, example: Example) -> str:
        return str(example["image"])

    def facts(self, examples: Sequence[Example]) -> list[str]:
        sizes, modes = Counter(tuple(e["size"]) for e in examples), Counter(e["mode"] for e in examples)
        (width, height), n = sizes.most_common(1)[0]
        smallest, largest = min(sizes, key=np.prod), max(sizes, key=np.prod)
        kinds = ", ".join(f"{mode} {count:,}" for mode, count in modes.most_common(SHOWN_KINDS))
        one = f"sizes: {width} × {height} in {n / len(examples):.1%} of the pictures"
        spread = f", from {smallest[0]} × {smallest[1]} to {largest[0]} × {largest[1]}" if len(sizes) > 1 else ""
        return [one + spread, f"colours: {kinds}"]

    def encode(self, processor: PixelReader, examples: Sequence[Example], targets: Targets | None, max_length: int) -> Split:
        pixels = processor.pixels([e["file"] for e in examples])
        return Split(
            {"pixel_values": Column(pixels), "targets": class_column(examples, targets)},
            np.full(len(examples), processor.positions, dtype=np.int64),
        )

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "majority": Baseline("the majority class", majority_rows),
            "pixels": Baseline(f"logistic regression on {SMALL} × {SMALL} pixels", pixel_rows),
        }


def holds_pictures(table: Table, column: str) -> bool:
    """Whether the first cells that are there hold pictures or their paths."""
    values = [value for row in table.rows[:LOOKED_AT] if (value := row.get(column)) is not None and value != ""]
    return bool(values) and all(map(is_picture, values))


def pixel_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray:
    """Principal components of shrunk pictures with logistic regression."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = shrunk(train), [e["label"] for e in train]
    components = min(COMPONENTS, *features.shape)
    model = make_pipeline(PCA(components, random_state=0), StandardScaler(), LogisticRegression(max_iter=1000))
    predicted = model.fit(features, labels).predict(shrunk(test))
    return rows_of([str(label) for label in predicted], test, targets)


def shrunk(examples: Sequence[Example]) -> np.ndarray:
    """Shape (n, 3 * SMALL * SMALL), from 0 to 1."""
    found = np.empty((len(examples), 3 * SMALL * SMALL), dtype=np.float32)
    for row, example in zip(found, examples, strict=True):
        row[:] = np.asarray(opened(example["file"]).resize((SMALL, SMALL)), dtype=np.float32).ravel() / 255
    return found
