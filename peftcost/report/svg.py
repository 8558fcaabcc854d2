"""Turns a matplotlib figure into an SVG element that belongs to its page."""

from __future__ import annotations

import io
import re

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

INK, SOFT, LINE, PAPER, BAND = "#1b1f24", "#5b6571", "#d8dee5", "#fefefe", "#e7f3ee"
PAGE_COLOURS = {INK: "--ink", SOFT: "--soft", LINE: "--line", PAPER: "--back", BAND: "--band"}
"""In the page these become its own colours, so that the picture follows light and dark mode."""


def svg_of(figure: Figure, name: str, label: str) -> Markup:
    """Real text, the page's colours and font. name: tells the ids of several pictures on a page apart. label: what a
    screen reader says."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": f"peftcost {name}"}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in PAGE_COLOURS.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r' id="(?!setup-)(\w+_\d+)"', "", text)
    return Markup(text.replace("<svg", f'<svg class="{escape(name)}" role="img" aria-label="{escape(label)}"', 1))
