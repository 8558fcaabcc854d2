"""Sounds as data: where they lie, whether they can be opened, and their samples in one channel."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.data.media import absolute, cannot_be_opened, file_of, has_bytes, has_ending, in_threads, packed_of, readable
from peftcost.errors import UserError

ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
HEADS = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3")
"""How sounds begin, but for WAV and AIFF. The last five are MP3's."""
CONTAINERS = {b"RIFF": (b"WAVE",), b"RF64": (b"WAVE",), b"FORM": (b"AIFF", b"AIFC")}
"""How WAV and AIFF begin, and what stands after the size; other files share the beginnings."""
AT_ONCE = 2**16
"""Samples that are decoded together."""


@dataclass(frozen=True)
class Sound:
    """file: its path, or its bytes as a data URI. digest: sha256 of its samples. rate: samples a second, in each channel."""

    file: str
    digest: str
    seconds: float
    rate: int
    channels: int


def sounds(values: Sequence[Any], places: Sequence[str], folder: Path) -> list[Sound]:
    """The sounds of these cells, each decoded once. A cell holds a path, which is relative to `folder`, or a mapping with
    "bytes" and "path" as `datasets` writes it.

    UserError with its place for the first that is missing or cannot be decoded.
    """
    return in_threads(partial(_sound, folder=folder), values, places)


def heard(file: str, rate: int, seconds: float | None = None) -> np.ndarray:
    """The samples of a file, as in `Sound`, at so many a second: the mean of its channels, float32, from -1 to 1. seconds:
    how many of them are wanted, None for all."""
    from scipy.signal import resample_poly

    with _opened(file) as sound:
        own_rate = int(sound.samplerate)
        frames = -1 if seconds is None else math.ceil(seconds * own_rate)
        mono = sound.read(frames, dtype="float32", always_2d=True).mean(axis=1)
    common = math.gcd(rate, own_rate)
    resampled = mono if rate == own_rate else resample_poly(mono, rate // common, own_rate // common)
    return np.asarray(resampled, dtype=np.float32)


def is_sound(value: Any) -> bool:
    """Whether a cell holds a sound, or the path of one."""
    if isinstance(value, dict):
        return has_bytes(value) and (has_ending(value["path"], ENDINGS) or _begins(packed_of(value) or b""))
    return isinstance(value, str) and has_ending(value, ENDINGS)


def has_samples(value: Any) -> bool:
    """Whether a value is a mapping with "array" and "sampling_rate", as `datasets` and pipelines have sounds."""
    return isinstance(value, dict) and value.keys() >= {"array", "sampling_rate"}


def in_cell(sound: Any) -> Any:
    """A sound that a Python caller holds, as samples or as its path, as a cell: paths from the working directory become
    absolute. Other values are left as they are. Samples are of shape (n,), (n, channels) or (channels, n)."""
    if hasattr(sound, "get_all_samples"):  # what newer `datasets` decode to
        sound = {"array": sound["array"], "sampling_rate": sound["sampling_rate"]}
    if not has_samples(sound):
        return absolute(sound, ENDINGS)
    samples = np.asarray(sound["array"])
    if samples.ndim not in (1, 2) or not np.issubdtype(samples.dtype, np.number):
        raise UserError(f"A sound of data has samples of shape {samples.shape}; give (n,) or (n, channels) numbers.")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / (np.iinfo(samples.dtype).max + 1)
    samples = samples.T if samples.ndim == 2 and samples.shape[0] < samples.shape[1] else samples
    packed = io.BytesIO()
    rate = int(sound["sampling_rate"])
    _soundfile().write(packed, samples.astype(np.float32), rate, format="WAV", subtype="FLOAT")
    return {"bytes": packed.getvalue(), "path": sound.get("path")}


def _sound(value: Any, place: str, folder: Path) -> Sound:
    file, name = file_of(value, place, folder, "sound")
    digest, n = hashlib.sha256(), 0
    try:
        with _opened(file) as sound:
            rate, channels = int(sound.samplerate), int(sound.channels)
            digest.update(f"{rate} {channels}".encode())
            while len(block := sound.read(AT_ONCE, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise ValueError("it holds samples that are no numbers")
                digest.update(block.tobytes())
                n += len(block)
        if not n:
            raise ValueError("it holds no samples")
    except UserError:
        raise
    except Exception as error:  # a damaged file makes decoders raise whatever they meet
        raise cannot_be_opened(error, place, name, "sound") from error
    return Sound(file, digest.hexdigest(), n / rate, rate, channels)


def _opened(file: str) -> Any:
    """A `soundfile.SoundFile`. FileNotFoundError in place of the library's own."""
    source, soundfile = readable(file), _soundfile()
    if isinstance(source, str) and not os.path.exists(source):
        raise FileNotFoundError(source)
    return soundfile.SoundFile(source)


def _begins(packed: bytes) -> bool:
    return packed.startswith(HEADS) or packed[8:12] in CONTAINERS.get(bytes(packed[:4]), ())


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without libsndfile
        raise UserError("Sounds are read by soundfile, which is not here; `pip install soundfile`.") from error
    return soundfile
