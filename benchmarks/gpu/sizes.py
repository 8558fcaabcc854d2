"""What the benchmarks of steps are measured on. Free of torch: `check` names its parts by them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """A base with the shape of its batches."""

    model: str
    rows: int
    tokens: int

    @property
    def name(self) -> str:
        return f"{self.model} {self.rows} x {self.tokens}"


SIZES = (Size("minilm", 16, 32), Size("llama-135m", 8, 256), Size("llama-1b", 4, 128), Size("llama-1b", 8, 512))
