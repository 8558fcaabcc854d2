"""Audio classification: one sound, one of several classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peftcost.data.sounds import Sound, heard, is_sound, sounds
from peftcost.tasks.audio_inputs import AudioInputs
from peftcost.tasks.base import Baseline, Example
from peftcost.tasks.one_class import majority_rows, rows_of
from peftcost.tasks.one_file import OneFile
from peftcost.tasks.targets import Targets

RATE = 16_000
"""Samples a second that the classical baseline hears."""
WINDOW = 512
"""Samples of a spectrum, of which the baseline takes BANDS bands."""
BANDS = 32


class AudioClassification(AudioInputs, OneFile):
    """An example's "audio" is the hash of its samples, and its "file" is where they are."""

    name = "audio-classification"
    input_roles = ("audio",)
    files = "sounds"
    called = ("audio", "sound", "recording")
    auto_model = "AutoModelForAudioClassification"
    default_model = "MIT/ast-finetuned-audioset-10-10-0.4593"
    precedence = 10

    def is_file(self, value: Any) -> bool:
        return is_sound(value)

    def opened(self, values: Sequence[Any], places: Sequence[str], folder: Path) -> Sequence[Sound]:
        return sounds(values, places, folder)

    def told_of(self, one: Sound) -> dict[str, Any]:
        return {"seconds": one.seconds, "rate": one.rate, "channels": one.channels}

    def facts(self, examples: Sequence[Example]) -> list[str]:
        seconds = np.array([e["seconds"] for e in examples])
        rates, channels = Counter(e["rate"] for e in examples), Counter(e["channels"] for e in examples)
        median, long, longest = np.median(seconds), np.quantile(seconds, 0.95), seconds.max()
        return [
            f"length: median {median:.2f} s, 5 % have {long:.2f} s or more, longest {longest:.2f} s",
            f"samples a second: {', '.join(f'{rate:,} ({n:,} sounds)' for rate, n in rates.most_common(4))}; "
            f"channels: {', '.join(f'{n} ({count:,})' for n, count in channels.most_common(3))}",
        ]

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "majority": Baseline("the majority class", majority_rows),
            "spectrum": Baseline(f"logistic regression on {BANDS} bands of the spectrum", spectrum_rows),
        }


def spectrum_rows(train: Sequence[Example], test: Sequence[Example], targets: Targets) -> np.ndarray:
    """Mean and deviation over time of the loudness of each band, with logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    predicted = model.fit(spectra(train), [e["label"] for e in train]).predict(spectra(test))
    return rows_of([str(label) for label in predicted], test, targets)


def spectra(examples: Sequence[Example]) -> np.ndarray:
    """Shape (n, 2 * BANDS), of logarithms of energy."""
    from scipy.signal import stft

    found = np.empty((len(examples), 2 * BANDS), dtype=np.float32)
    for row, example in zip(found, examples, strict=True):
        wave = heard(example["file"], RATE)
        _, _, spectrum = stft(np.pad(wave, (0, max(0, WINDOW - len(wave)))), nperseg=WINDOW)
        energy = np.abs(spectrum[1:]) ** 2
        bands = np.log(energy.reshape(BANDS, -1, energy.shape[1]).mean(axis=1) + 1e-8)
        row[:] = np.concatenate([bands.mean(axis=1), bands.std(axis=1)])
    return found
