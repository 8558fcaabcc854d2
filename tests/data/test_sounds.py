"""Sounds as they come: several channels, other rates, other formats, broken, missing; in folders, cells and files."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from peftcost.data.images import is_picture
from peftcost.data.readers import read_table
from peftcost.data.sounds import heard, in_cell, is_sound, sounds
from peftcost.data.split_folder import splits_of_folder
from peftcost.errors import UserError

RATE = 8_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def as_cell(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", path: str | None = None) -> dict[str, Any]:
    packed = io.BytesIO()
    soundfile.write(packed, samples, rate, format=kind)
    return {"bytes": packed.getvalue(), "path": path}


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_any_format_is_heard(kind: str) -> None:
    cell = as_cell(TONE, kind=kind)
    assert is_sound(cell)
    assert not is_picture(cell)
    (found,) = sounds([cell], ["here"], Path())
    assert found.rate == RATE
    assert found.seconds == pytest.approx(1.0, abs=0.2)
    assert np.abs(heard(found.file, RATE)).max() == pytest.approx(0.5, abs=0.1)


def test_bytes_may_stand_in_json_as_base64() -> None:
    cell = {"bytes": base64.b64encode(as_cell(TONE)["bytes"]).decode(), "path": None}
    assert is_sound(cell)
    (found,) = sounds([cell], ["here"], Path())
    assert found.seconds == pytest.approx(1.0)


def test_channels_are_mixed_and_rates_changed() -> None:
    (found,) = sounds([as_cell(np.stack([TONE, -TONE], axis=1))], ["here"], Path())
    assert found.channels == 2
    assert np.abs(heard(found.file, RATE)).max() < 1e-3
    (found,) = sounds([as_cell(TONE)], ["here"], Path())
    resampled = heard(found.file, 2 * RATE)
    assert len(resampled) == 2 * RATE
    assert np.argmax(np.abs(np.fft.rfft(resampled))) == 440


def test_the_same_samples_are_copies_whatever_the_file_is_called(tmp_path: Path) -> None:
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, (30_000 * TONE).astype(np.int16), RATE)
    one, other = sounds(["a.wav", "b.flac"], ["1", "2"], tmp_path)
    assert one.digest == other.digest


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gone.wav", "row 3: there is no file gone.wav"),
        ("broken.wav", "row 3: broken.wav cannot be opened as a sound"),
        ("empty.wav", "row 3: empty.wav cannot be opened as a sound (it holds no samples)"),
        ("nan.wav", "row 3: nan.wav cannot be opened as a sound (it holds samples that are no numbers)"),
        (None, "row 3: the sound is missing"),
        (7, "row 3: expected a sound's path, but got 7"),
    ],
)
def test_what_cannot_be_heard_is_told_with_its_place(value: Any, words: str, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF and nothing else")
    soundfile.write(tmp_path / "empty.wav", TONE[:0], RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), RATE, subtype="FLOAT")
    with pytest.raises(UserError) as raised:
        sounds([value], ["row 3"], tmp_path)
    assert words in str(raised.value)


def test_folders_are_read_as_classes_and_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("dog", "rain"):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            soundfile.write(folder / "1.wav", TONE, RATE)
    (tmp_path / "train" / "notes.txt").write_text("recorded outside")
    table = read_table(tmp_path / "train")
    assert table.rows == [{"audio": "dog/1.wav", "label": "dog"}, {"audio": "rain/1.wav", "label": "rain"}]
    assert any("1 files or folders hold no sounds and are left out (notes.txt)" in note for note in table.notes)
    assert set(splits_of_folder(tmp_path)) == {"train", "test"}


def test_samples_of_a_python_caller_become_a_cell() -> None:
    cell = in_cell({"array": TONE, "sampling_rate": RATE, "path": None})
    (found,) = sounds([cell], ["here"], Path())
    assert np.allclose(heard(found.file, RATE), TONE, atol=1e-6)
    assert in_cell("a sentence") == "a sentence"
    assert in_cell("Ask at www.shop.com.au, " * 30 + "or see them.wav").startswith("Ask")


@pytest.mark.parametrize("samples", [(TONE * 2**15).astype(np.int16), np.stack([TONE, TONE]), np.stack([TONE, TONE], axis=1)])
def test_whole_numbers_and_channels_of_a_python_caller_sound_as_those_of_a_file(samples: np.ndarray) -> None:
    (found,) = sounds([in_cell({"array": samples, "sampling_rate": RATE})], ["here"], Path())
    assert np.allclose(heard(found.file, RATE), TONE, atol=1e-4)


def test_the_files_that_are_more_tell_what_a_folder_holds(tmp_path: Path) -> None:
    for label in ("dog", "rain"):
        (tmp_path / label).mkdir()
        soundfile.write(tmp_path / label / "1.wav", TONE, RATE)
        (tmp_path / label / "._1.wav").write_bytes(b"of another system")
    (tmp_path / "dog" / "cover.png").write_bytes(b"a picture")
    table = read_table(tmp_path)
    assert [row["audio"] for row in table.rows] == ["dog/1.wav", "rain/1.wav"]
    assert any("dog/cover.png" in note for note in table.notes)
