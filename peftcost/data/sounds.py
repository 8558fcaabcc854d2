"""Sounds as data: where they lie, whether they can be opened, and their samples in one channel."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.data.media import cannot_be_opened, file_of, has_bytes, readable
from peftcost.errors import UserError

ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au")
HEADS = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b".snd")
"""How sounds begin, but for WAV and AIFF, which share theirs with other files. Four of them are MP3's, one a version."""


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
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(partial(_sound, folder=folder), values, places))


def heard(file: str, rate: int) -> np.ndarray:
    """The samples of a file, as in `Sound`, at so many a second: the mean of its channels, float32, from -1 to 1."""
    from scipy.signal import resample_poly

    samples, own_rate = _decoded(file)
    mono = samples.mean(axis=1)
    common = math.gcd(rate, own_rate)
    resampled = mono if rate == own_rate else resample_poly(mono, rate // common, own_rate // common)
    return np.asarray(resampled, dtype=np.float32)


def is_sound(value: Any) -> bool:
    """Whether a cell holds a sound, or the path of one."""
    if isinstance(value, dict):
        return has_bytes(value) and (_ends(value["path"]) or _begins(value["bytes"] or b""))
    return _ends(value)


def has_samples(value: Any) -> bool:
    """Whether a value is a mapping with "array" and "sampling_rate", as `datasets` and pipelines have sounds."""
    return isinstance(value, dict) and value.keys() >= {"array", "sampling_rate"}


def in_cell(sound: Any) -> Any:
    """A sound that a Python caller holds, as samples or as its path, as a cell: paths from the working directory become
    absolute. Other values are left as they are."""
    if isinstance(sound, str) and _ends(sound) and Path(sound).is_file():
        return str(Path(sound).absolute())
    if not has_samples(sound):
        return sound
    packed = io.BytesIO()
    samples = np.asarray(sound["array"], dtype=np.float32)
    _soundfile().write(packed, samples, int(sound["sampling_rate"]), format="WAV", subtype="FLOAT")
    return {"bytes": packed.getvalue(), "path": sound.get("path")}


def _sound(value: Any, place: str, folder: Path) -> Sound:
    file, name = file_of(value, place, folder, "sound")
    try:
        samples, rate = _decoded(file)
        if not len(samples):
            raise ValueError("it holds no samples")
    except (OSError, RuntimeError, ValueError, TypeError) as error:  # soundfile's own are RuntimeErrors
        raise cannot_be_opened(error, place, name, "sound") from error
    digest = hashlib.sha256(f"{rate} {samples.shape}".encode() + samples.tobytes())
    return Sound(file, digest.hexdigest(), len(samples) / rate, rate, samples.shape[1])


def _decoded(file: str) -> tuple[np.ndarray, int]:
    """Samples of shape (n, channels), and how many are a second."""
    source = readable(file)
    with open(source, "rb") if isinstance(source, str) else source as raw:
        samples, rate = _soundfile().read(raw, dtype="float32", always_2d=True)
    return samples, int(rate)


def _ends(path: Any) -> bool:
    return isinstance(path, str) and path.strip().lower().endswith(ENDINGS)


def _begins(packed: bytes) -> bool:
    return packed.startswith(HEADS) or (packed[:4] in (b"RIFF", b"FORM") and packed[8:12] in (b"WAVE", b"AIFF"))


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without libsndfile
        raise UserError('Sounds are read by soundfile, which is not here; `pip install "peftcost[audio]"`.') from error
    return soundfile
