"""What task types share whose input is one text, or two that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from peftcost.data.cells import is_blank, text_of
from peftcost.data.features import Column
from peftcost.data.guess import names_of, of_objects, pair_columns, shown, text_column
from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks.base import Columns, Example
from peftcost.tasks.text_inputs import TextInputs, text_columns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

JOINT = "\n"
"""What stands between the columns of one text, and between two texts where the tokenizer puts nothing."""


class OneTextOrTwo(TextInputs):
    """Its examples hold a "text", and a "text_pair" where the task has one. Several columns may be one text."""

    input_roles = ("text",)
    optional_roles = ("text_pair",)
    several: ClassVar[tuple[str, ...]] = ("text", "text_pair")

    def content(self, example: Example) -> str:
        return JOINT.join(" ".join(text.split()) for text in texts_of(example))

    def token_columns_of(
        self, processor: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int
    ) -> dict[str, Column]:
        """Token ids, and segment ids where the tokenizer makes them. Of what is too long the longer text is cut."""
        firsts = [example["text"] for example in examples]
        if not examples or "text_pair" not in examples[0]:
            return text_columns(processor, firsts, max_length)
        joint = "" if separates(processor) else JOINT
        return text_columns(processor, firsts, max_length, [joint + example["text_pair"] for example in examples])


def separates(processor: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer puts a token between two texts."""
    return processor.num_special_tokens_to_add(pair=True) > processor.num_special_tokens_to_add(pair=False)


def texts_of(example: Example) -> list[str]:
    """The text, or both."""
    return [example[role] for role in ("text", "text_pair") if role in example]


def read_texts(row: Mapping[str, Any], columns: Columns, place: str) -> Example:
    """The text of a row, or both. Of several columns that are one text, one may be missing; UserError where all are."""
    return {
        role: text_of(_joined(row, columns[role]), f"{place}, column {shown(columns[role])}")
        for role in ("text", "text_pair")
        if role in columns
    }


def guess_texts(table: Table, *labels: str, role: str = "label") -> dict[str, Any]:
    """The columns of the text, or of both. labels: the targets' columns. UserError where the file does not show them."""
    others = [name for name in table.columns if name not in labels]
    pair = None if "text" in others and "text_pair" not in others else pair_columns(table, others)
    if pair is not None:
        return {"text": pair[0], "text_pair": pair[1]}
    text = text_column(table, others)
    if text is None:
        column = labels[0] if len(labels) == 1 else f"[{', '.join(labels)}]"
        raise UserError(
            f"{table.path} does not show which column holds the text ({table.listed}); write a task.yaml "
            f"with `columns: {{text: …, {role}: {column}}}`. Several columns can be one text: `text: [title, body]`."
            f"{of_objects(table)}"
        )
    return {"text": text}


def _joined(row: Mapping[str, Any], column: str | list[str]) -> Any:
    """The cell; or the cells of several columns that hold something, one a line."""
    if isinstance(column, str):
        return row.get(column)
    cells = [row.get(name) for name in names_of(column)]
    there = [str(cell) for cell in cells if not is_blank(cell)]
    return JOINT.join(there) if there else None
