"""Folders of pictures."""

from __future__ import annotations

from peftcost.data.images import ENDINGS
from peftcost.data.readers.class_folder import ClassFolder


class ImageFolder(ClassFolder):
    """As `datasets` reads an "imagefolder"."""

    name = "a folder of pictures, with one folder a class"
    shape = "cat/1.png, cat/2.png, dog/1.png, …"
    kind, column, media_endings = "picture", "image", ENDINGS
