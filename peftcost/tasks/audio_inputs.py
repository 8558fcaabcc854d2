"""What all task types share whose input is a sound: feature extractor, spectrograms or waves, batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peftcost.data.features import Split
from peftcost.data.media import in_threads
from peftcost.data.sounds import heard
from peftcost.errors import UserError, first_line
from peftcost.tasks.base import TaskType
from peftcost.tasks.batch import Batch, dummy_numbers
from peftcost.tasks.targets import Targets

if TYPE_CHECKING:
    from transformers import PretrainedConfig

AT_ONCE = 64
"""Sounds that are made features of together."""
WAVE_SECONDS = 5.0
"""Of a sound, for bases whose extractor makes longer inputs of longer sounds: the rest is cut off, shorter ones are filled up
with silence. Other bases, those on spectrograms, have a length of their own."""
MOST_SECONDS = 30.0
"""Where an extractor does not say how much it looks at."""
SHORTEST_SECONDS = 0.1
"""Shorter sounds are filled up with silence: extractors make no frame of less."""


@dataclass(frozen=True)
class SoundReader:
    """Makes a base's inputs of sounds. input_name: what the model calls them. shape: of one. positions: that the base's
    layers hand on of it. seconds: that the base hears."""

    extractor: Any
    input_name: str
    shape: tuple[int, ...]
    positions: int
    seconds: float

    def features(self, files: Sequence[str]) -> np.ndarray:
        """Shape (n, *shape), float16: numbers around 1, of which there are many."""
        found = np.empty((len(files), *self.shape), dtype=np.float16)
        for start in range(0, len(files), AT_ONCE):
            waves = in_threads(self.wave, files[start : start + AT_ONCE])
            found[start : start + AT_ONCE] = extracted(self.extractor, waves)
        return found

    def wave(self, file: str) -> np.ndarray:
        """As much of it as the base hears; with silence behind, where the extractor leaves that to us."""
        rate = int(self.extractor.sampling_rate)
        samples = heard(file, rate, self.seconds)[: round(self.seconds * rate)]
        shortest = SHORTEST_SECONDS if has_own_length(self.extractor) else self.seconds
        return np.pad(samples, (0, max(0, round(shortest * rate) - len(samples))))

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the feature extractor beside a model."""
        self.extractor.save_pretrained(folder)


class AudioInputs(TaskType):
    """A task type whose inputs are sounds, all made one length by the base's feature extractor."""

    one_size = True

    def processor(self, model: str) -> SoundReader:
        return sound_reader(str(model))

    def collate(
        self, split: Split, indices: np.ndarray, padding: Mapping[str, float], max_length: int, width: int = 0
    ) -> Batch:
        import torch

        columns = {name: column.values[indices] for name, column in split.columns.items()}
        targets = torch.from_numpy(columns.pop("targets").astype(np.int64))
        inputs = {name: torch.from_numpy(values.astype(np.float32)) for name, values in columns.items()}
        return Batch(inputs, targets, int(split.lengths[indices].max()))

    def dummy_batch(self, config: PretrainedConfig, targets: Targets, lengths: Sequence[int]) -> Batch:
        return dummy_numbers(*input_of(config), lengths)


@lru_cache(maxsize=4)
def sound_reader(model: str) -> SoundReader:
    """The reader of the base in this folder. UserError where the folder has no feature extractor, or one that does not suit
    the base."""
    from transformers import AutoConfig, AutoFeatureExtractor

    try:
        extractor = AutoFeatureExtractor.from_pretrained(model)
        config = AutoConfig.from_pretrained(model)
        name = main_input(config)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise UserError(
            f"{model} has no feature extractor for sounds that can be used here ({first_line(error)}); give a model for "
            "sounds, with its preprocessor_config.json."
        ) from error
    seconds = own_seconds(extractor) if has_own_length(extractor) else WAVE_SECONDS
    shape = shape_of(extractor, seconds)
    return SoundReader(extractor, name, shape, positions_of(config, name, shape, model), seconds)


def extracted(extractor: Any, waves: Sequence[np.ndarray]) -> np.ndarray:
    """What the extractor makes of sounds at its own rate, shape (n, ...)."""
    made = extractor(list(waves), sampling_rate=int(extractor.sampling_rate), return_tensors="np")
    return np.asarray(made[extractor.model_input_names[0]])


def shape_of(extractor: Any, seconds: float) -> tuple[int, ...]:
    """Of what the extractor makes of a sound of this length."""
    silence = np.zeros(round(seconds * int(extractor.sampling_rate)), dtype=np.float32)
    return tuple(extracted(extractor, [silence]).shape[1:])


@lru_cache(maxsize=8)
def has_own_length(extractor: Any) -> bool:
    """Whether the extractor makes inputs of one length of sounds of any."""
    return shape_of(extractor, 0.5) == shape_of(extractor, 1.0)


def own_seconds(extractor: Any) -> float:
    """How much of a sound an extractor with a length of its own looks at, or a little more: Whisper's says how many samples,
    that of AST how many frames, of which there are 100 a second."""
    samples = getattr(extractor, "n_samples", None)
    frames = getattr(extractor, "max_length", None)
    if samples:
        return float(samples) / int(extractor.sampling_rate)
    return MOST_SECONDS if frames is None else int(frames) / 100 + SHORTEST_SECONDS


def main_input(config: PretrainedConfig) -> str:
    """What the model of this configuration calls its sounds. KeyError where no model of this kind classifies sounds."""
    from transformers import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING

    kind: Any = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
    return str(kind.main_input_name)


def positions_of(config: PretrainedConfig, name: str, shape: tuple[int, ...], model: str) -> int:
    """How many positions the base's layers hand on of one sound. UserError where it cannot take inputs of this shape."""
    import torch
    from transformers import AutoModelForAudioClassification

    try:
        with torch.device("meta"), torch.no_grad():
            classifier = AutoModelForAudioClassification.from_config(config).eval()
            hidden = classifier(**{name: torch.zeros(1, *shape)}, output_hidden_states=True).hidden_states[-1]
    except (ValueError, RuntimeError, TypeError) as error:
        raise UserError(
            f"The feature extractor in {model} makes inputs of {' × '.join(map(str, shape))}, which the model beside it does "
            f"not take ({first_line(error)}); give the model's own extractor."
        ) from error
    return int(hidden.shape[1])


def input_of(config: PretrainedConfig) -> tuple[str, tuple[int, ...]]:
    """The name and the shape of one input of the base: as its extractor makes it, else as it was built."""
    name, folder = main_input(config), str(getattr(config, "_name_or_path", "") or "")
    if folder and (Path(folder) / "preprocessor_config.json").is_file():
        return name, sound_reader(folder).shape
    if hasattr(config, "max_source_positions"):  # Whisper's encoder halves the frames
        return name, (config.num_mel_bins, 2 * config.max_source_positions)
    if hasattr(config, "num_mel_bins"):
        return name, (config.max_length, config.num_mel_bins)
    return name, (round(WAVE_SECONDS * 16_000),)
