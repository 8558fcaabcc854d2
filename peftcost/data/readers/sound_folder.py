"""Folders of sounds."""

from __future__ import annotations

from peftcost.data.readers.class_folder import ClassFolder
from peftcost.data.sounds import ENDINGS


class SoundFolder(ClassFolder):
    """As `datasets` reads an "audiofolder"."""

    name = "a folder of sounds, with one folder a class"
    shape = "dog/1.wav, dog/2.wav, rain/1.wav, …"
    kind, column, media_endings = "sound", "audio", ENDINGS
