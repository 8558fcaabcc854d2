"""The colour and the shape of each method: the same in every report, in the picture, the page and the comparison.

Hue and shape both tell methods apart, so that neither colour-blindness nor a black-and-white print hides which is which.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """light, dark: the colour on white and on dark ground. shape: Plotly's name of the symbol."""

    light: str
    dark: str
    shape: str


MARKS = {
    "full": Mark("#c24a00", "#ff8f4d", "square"),
    "frozen": Mark("#00805c", "#2fc79a", "diamond"),
    "lora": Mark("#0069ab", "#5ab4f5", "circle"),
    "adalora": Mark("#7a4fc4", "#b79bf0", "triangle-up"),
    "int8-lora": Mark("#1f86c4", "#8fd3ff", "triangle-down"),
    "nf4-lora": Mark("#b8447f", "#f08cbc", "hexagon"),
    "bitfit": Mark("#946a00", "#e5b93c", "star"),
    "houlsby": Mark("#80543f", "#cf9f88", "pentagon"),
    "ia3": Mark("#5d6b7a", "#a9b7c6", "cross"),
    "prefix": Mark("#4c4a8f", "#9a98e8", "triangle-left"),
    "prompt": Mark("#66741c", "#b5c560", "triangle-right"),
}
"""Okabe and Ito's hues, darker on white and lighter on dark ground, so that a mark has a contrast of 3 to 1 at least."""

OTHERS = (
    Mark("#a23b3b", "#f09090", "x"),
    Mark("#00747a", "#45c5cc", "bowtie"),
    Mark("#6b6b00", "#c9c945", "hourglass"),
    Mark("#8d3f9e", "#d68fe5", "diamond-wide"),
)
"""For methods that others add."""

MATPLOTLIB = {
    "square": "s",
    "diamond": "D",
    "circle": "o",
    "triangle-up": "^",
    "triangle-down": "v",
    "hexagon": "h",
    "star": "*",
    "pentagon": "p",
    "cross": "P",
    "triangle-left": "<",
    "triangle-right": ">",
    "x": "X",
}


def mark_of(method: str) -> Mark:
    """The method's mark; one that peftcost does not know has one by its name."""
    return MARKS.get(method) or OTHERS[zlib.crc32(method.encode()) % len(OTHERS)]


def matplotlib_marker(shape: str) -> str:
    return MATPLOTLIB.get(shape, "d")


def outline(shape: str) -> str:
    """The shape as an SVG path in a box from -8 to 8, for legends."""
    if shape == "circle":
        return "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0Z"
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in corners(shape)) + "Z"


def corners(shape: str) -> list[tuple[float, float]]:
    """The corners of a shape that is no circle; y grows downwards."""
    if shape in POINTS:
        return POINTS[shape]
    if shape == "star":
        return [around(7.5 if i % 2 == 0 else 3.2, 36 * i) for i in range(10)]
    sides, turn, radius = REGULAR[shape]
    return [around(radius, turn + 360 / sides * i) for i in range(sides)]


def around(radius: float, degrees: float) -> tuple[float, float]:
    """A place on a circle, clockwise from the top."""
    return radius * math.sin(math.radians(degrees)), -radius * math.cos(math.radians(degrees))


REGULAR = {
    "triangle-up": (3, 0.0, 7.0),
    "triangle-down": (3, 180.0, 7.0),
    "triangle-left": (3, 270.0, 7.0),
    "triangle-right": (3, 90.0, 7.0),
    "square": (4, 45.0, 7.5),
    "diamond": (4, 0.0, 7.5),
    "pentagon": (5, 0.0, 7.0),
    "hexagon": (6, 0.0, 7.0),
}
"""Corners, turn in degrees, radius."""

PLUS = [(-2, -7), (2, -7), (2, -2), (7, -2), (7, 2), (2, 2), (2, 7), (-2, 7), (-2, 2), (-7, 2), (-7, -2), (-2, -2)]
POINTS: dict[str, list[tuple[float, float]]] = {
    "cross": [(float(x), float(y)) for x, y in PLUS],
    "x": [((x - y) * 0.707, (x + y) * 0.707) for x, y in PLUS],
    "bowtie": [(-6.5, -6), (6.5, 6), (6.5, -6), (-6.5, 6)],
    "hourglass": [(-6, -6.5), (6, 6.5), (-6, 6.5), (6, -6.5)],
    "diamond-wide": [(0, -4.5), (7.5, 0), (0, 4.5), (-7.5, 0)],
}
