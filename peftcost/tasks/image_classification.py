"""Image classification: one picture, one of several classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.data.images import Picture, is_picture, opened, pictures
from peftcost.tasks.base import Baseline, Example
from peftcost.tasks.image_inputs import ImageInputs
from peftcost.tasks.one_class import majority_rows, rows_of
from peftcost.tasks.one_file import OneFile
from peftcost.tasks.targets import Targets

SMALL = 16
"""Width and height to which the classical baseline shrinks pictures."""
COMPONENTS = 64
SHOWN_KINDS = 4


class ImageClassification(ImageInputs, OneFile):
    """An example's "image" is the hash of its pixels, and its "file" is where they are."""

    name = "image-classification"
    input_roles = ("image",)
    files = "pictures"
    called = ("image", "img", "picture", "photo")
    auto_model = "AutoModelForImageClassification"
    default_model = "google/vit-base-patch16-224-in21k"
    precedence = 10

    def is_file(self, value: Any) -> bool:
        return is_picture(value)

    def opened(self, values: Sequence[Any], places: Sequence[str], folder: Path) -> Sequence[Picture]:
        return pictures(values, places, folder)

    def told_of(self, one: Picture) -> dict[str, Any]:
        return {"size": one.size, "mode": one.mode}

    def facts(self, examples: Sequence[Example]) -> list[str]:
        sizes, modes = Counter(tuple(e["size"]) for e in examples), Counter(e["mode"] for e in examples)
        (width, height), n = sizes.most_common(1)[0]
        smallest, largest = min(sizes, key=np.prod), max(sizes, key=np.prod)
        kinds = ", ".join(f"{mode} {count:,}" for mode, count in modes.most_common(SHOWN_KINDS))
        one = f"sizes: {width} × {height} in {n / len(examples):.1%} of the pictures"
        spread = f", from {smallest[0]} × {smallest[1]} to {largest[0]} × {largest[1]}" if len(sizes) > 1 else ""
        return [one + spread, f"colours: {kinds}"]

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "majority": Baseline("the majority class", majority_rows),
            "pixels": Baseline(f"logistic regression on {SMALL} × {SMALL} pixels", pixel_rows),
        }


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
