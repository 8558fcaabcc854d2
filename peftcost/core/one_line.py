"""Texts of users where one line is expected."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text without line breaks and other characters that steer a terminal or end a comment."""
    return "".join(c if c.isprintable() else " " for c in text)
