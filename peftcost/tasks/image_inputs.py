"""What all task types share whose input is a picture: image processor, pixels, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from peftcost.data.features import Split
from peftcost.data.images import opened
from peftcost.errors import UserError, first_line
from peftcost.tasks.base import TaskType
from peftcost.tasks.batch import Batch, dummy_numbers
from peftcost.tasks.targets import Targets

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BaseImageProcessor, PretrainedConfig

AT_ONCE = 256
"""Pictures that are resized together."""
ALIKE = 1e-3
"""Largest difference between the processor's numbers and ours."""


@dataclass(frozen=True)
class PixelReader:
    """Makes a base's inputs of pictures. channels: that the base takes (3; 1 for grey). shape: of one picture. positions:
    that the base's layers hand on of it: patches of a transformer, places of a last feature map.

    factors, offsets: a channel's number is value * factor + offset, where pictures are kept as bytes; None where the
    processor makes other numbers of them.
    """

    processor: BaseImageProcessor
    channels: int
    shape: tuple[int, ...]
    positions: int
    factors: tuple[float, ...] | None
    offsets: tuple[float, ...] | None
    input_name: ClassVar[str] = "pixel_values"

    def features(self, files: Sequence[str]) -> np.ndarray:
        """Shape (n, channels, height, width): bytes, or float32 where the processor's numbers are no scaled bytes."""
        as_bytes = self.factors is not None
        found = np.zeros((len(files), *self.shape), dtype=np.uint8 if as_bytes else np.float32)
        for start in range(0, len(files), AT_ONCE):
            images = [in_channels(opened(file), self.channels) for file in files[start : start + AT_ONCE]]
            found[start : start + AT_ONCE] = processed(self.processor, images, raw=as_bytes)
        return found

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the image processor beside a model."""
        self.processor.save_pretrained(folder)


class ImageInputs(TaskType):
    """A task type whose inputs are pictures, all made one size by the base's image processor."""

    one_size = True

    def processor(self, model: str) -> PixelReader:
        return pixel_reader(str(model))

    def padding(self, processor: PixelReader) -> dict[str, float]:
        """What makes a channel's numbers of bytes."""
        if processor.factors is None or processor.offsets is None:
            return {}
        names = [f"factor_{i}" for i in range(processor.channels)] + [f"offset_{i}" for i in range(processor.channels)]
        return dict(zip(names, [*processor.factors, *processor.offsets], strict=True))

    def collate(
        self, split: Split, indices: np.ndarray, padding: Mapping[str, float], max_length: int, width: int = 0
    ) -> Batch:
        import torch

        pixels, targets = split.columns["pixel_values"].values[indices], split.columns["targets"].values[indices]
        if pixels.dtype == np.uint8:
            each = range(pixels.shape[1])
            factors = np.array([padding[f"factor_{i}"] for i in each], dtype=np.float32)[:, None, None]
            offsets = np.array([padding[f"offset_{i}"] for i in each], dtype=np.float32)[:, None, None]
            pixels = pixels * factors + offsets
        inputs = {"pixel_values": torch.from_numpy(pixels.astype(np.float32, copy=False))}
        return Batch(inputs, torch.from_numpy(targets.astype(np.int64)), int(split.lengths[indices].max()))

    def dummy_batch(self, config: PretrainedConfig, targets: Targets, lengths: Sequence[int]) -> Batch:
        return dummy_numbers("pixel_values", input_shape(config), lengths)


@lru_cache(maxsize=4)
def pixel_reader(model: str) -> PixelReader:
    """The reader of the base in this folder. UserError where the folder has no image processor, or one that does not suit
    the base."""
    processor, config, channels = parts_of(model)
    sample = [in_channels(image, channels) for image in _samples()]
    wanted = processed(processor, sample, raw=False)
    shape = tuple(int(n) for n in wanted.shape[1:])
    factors, offsets = _scaling(processor, sample, wanted)
    return PixelReader(processor, channels, shape, positions_of(config, shape, model), factors, offsets)


def parts_of(model: str) -> tuple[BaseImageProcessor, PretrainedConfig, int]:
    """The image processor and the configuration in this folder, and the channels that the base takes. UserError where there
    are none that can be used."""
    from transformers import AutoConfig, AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(model)
        config = AutoConfig.from_pretrained(model)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"{model} has no image processor that can be used here ({first_line(error)}); give a model for pictures, with "
            "its preprocessor_config.json."
        ) from error
    channels = int(getattr(config, "num_channels", 3) or 3)
    if channels not in (1, 3):
        raise UserError(f"{model} takes pictures of {channels} channels; give a model that takes 1 or 3.")
    return processor, config, channels


def processed(processor: BaseImageProcessor, images: Sequence[Image], raw: bool) -> np.ndarray:
    """What the processor makes of pictures, shape (n, channels, height, width). raw: as bytes, before they are scaled.
    UserError where it leaves them different sizes."""
    options: dict[str, Any] = {"do_rescale": False, "do_normalize": False} if raw else {}
    made = [np.asarray(one) for one in processor(list(images), **options)["pixel_values"]]
    sizes = {one.shape for one in made}
    if len(sizes) > 1:
        one, other = sorted(sizes)[:2]
        raise UserError(
            f"The image processor leaves pictures different sizes ({one} and {other}), which make no batch; write its "
            '`size` with height and width, as in {"height": 224, "width": 224}, into preprocessor_config.json.'
        )
    return np.stack(made)


def positions_of(config: PretrainedConfig, shape: tuple[int, ...], model: str) -> int:
    """How many positions the base's layers hand on of one picture. UserError where it cannot take pictures of this shape."""
    import torch
    from transformers import AutoModel

    try:
        with torch.device("meta"), torch.no_grad():
            hidden = AutoModel.from_config(config).eval()(pixel_values=torch.zeros(1, *shape))[0]
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(
            f"The image processor in {model} makes pictures of {shape[-2]} × {shape[-1]} pixels, which the model beside it "
            f"does not take ({first_line(error)}); give the model's own processor."
        ) from error
    return int(hidden.shape[1] if hidden.ndim == 3 else np.prod(hidden.shape[2:]))


def input_shape(config: PretrainedConfig) -> tuple[int, ...]:
    """Of one picture as the base takes it: channels, height, width. As its processor makes it, else as it was built."""
    folder = str(getattr(config, "_name_or_path", "") or "")
    if folder and (Path(folder) / "preprocessor_config.json").is_file():
        return _processed_shape(folder)
    size = getattr(config, "image_size", None) or 224
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    return int(getattr(config, "num_channels", 3) or 3), int(height), int(width)


@lru_cache(maxsize=4)
def _processed_shape(model: str) -> tuple[int, ...]:
    processor, _, channels = parts_of(model)
    return processed(processor, [in_channels(_samples()[0], channels)], raw=True).shape[1:]


def in_channels(image: Image, channels: int) -> Image:
    return image if channels == 3 else image.convert("L")


def _samples() -> list[Image]:
    """Two pictures of different size."""
    from PIL import Image

    shades = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(30, 40, 3)
    return [Image.fromarray(shades), Image.fromarray(np.ascontiguousarray(shades[:, :20].transpose(1, 0, 2)))]


def _scaling(
    processor: BaseImageProcessor, images: Sequence[Image], wanted: np.ndarray
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """(factors, offsets) of the channels that make of bytes what the processor makes; (None, None) where none do."""
    raw = processed(processor, images, raw=True)
    if raw.dtype != np.uint8 or raw.shape != wanted.shape:
        return None, None
    factors, offsets = [], []
    for channel in range(raw.shape[1]):
        factor, offset = np.polyfit(raw[:, channel].ravel().astype(np.float64), wanted[:, channel].ravel(), 1)
        if np.abs(raw[:, channel] * factor + offset - wanted[:, channel]).max() > ALIKE:
            return None, None
        factors.append(float(factor))
        offsets.append(float(offset))
    return tuple(factors), tuple(offsets)
