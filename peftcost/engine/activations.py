"""Activations of a frozen layers on disk: computed once for a base and a data set, read by every setup that shares them.

Each split has two memory-mapped files: the activations of all tokens, and per example the seconds that computing them
took (0: not computed yet; below 0: nobody knows yet whether other programs have disturbed it), which is what a setup that
finds them there is charged. The seconds are written last, so a killed worker leaves nothing half. Workers may share the
files: whoever comes second writes the same numbers again, up to the last bits. A folder serves one start of one machine,
since after a power cut the one file could be there without the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import torch

from peftcost.core.memory import folder_bytes
from peftcost.core.versions import versions
from peftcost.data.builtin import cache_folder
from peftcost.data.features import offsets_of

DISK_SHARE = 0.25
"""Of the disk's free space, what all activations together may take."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Activations:
    """Of the n examples of a split: tensor `values` of shape (all tokens, width), and `seconds` of shape (n,)."""

    def __init__(self, folder: Path, lengths: np.ndarray, width: int, dtype: torch.dtype) -> None:
        self.folder = folder
        self.starts = offsets_of(lengths)
        tokens = int(self.starts[-1])
        values = torch.from_file(str(folder / "values"), shared=True, size=tokens * width, dtype=dtype)
        self.values = values.view(tokens, width)
        self.seconds = np.memmap(folder / "seconds", dtype=np.float32, mode="r+", shape=(len(lengths),))

    def known(self, indices: np.ndarray) -> np.ndarray:
        """Which of these examples are there, shape (len(indices),)."""
        return np.asarray(self.seconds[indices] != 0)

    def timed(self, indices: np.ndarray) -> np.ndarray:
        """Of which it is known what computing them takes, shape (len(indices),)."""
        return np.asarray(self.seconds[indices] > 0)

    def read(self, indices: Sequence[int] | np.ndarray, tokens: int) -> torch.Tensor:
        """Shape (len(indices), tokens, width), zeros behind each example's end."""
        starts = self.starts[np.asarray(indices)]
        lengths = self.starts[np.asarray(indices) + 1] - starts
        real = torch.from_numpy(np.arange(tokens) < lengths[:, None])
        at = torch.from_numpy((starts[:, None] + np.arange(tokens))[real.numpy()])
        found = torch.zeros((len(starts), tokens, self.values.shape[1]), dtype=self.values.dtype)
        found[real] = self.values[at]
        return found

    def write(self, indices: Sequence[int] | np.ndarray, hidden: torch.Tensor) -> None:
        """Keep the examples' activations; hidden: shape (len(indices), tokens, width). `price` has to follow.

        What is there already stays as it is: computed in another batch it would differ in the last bits, and a training
        that is resumed must find what it left.
        """
        hidden = hidden.to("cpu", self.values.dtype)
        for row, index in enumerate(indices):
            if self.seconds[index] == 0:
                start, end = self.starts[index], self.starts[index + 1]
                self.values[start:end] = hidden[row, : end - start]

    def price(self, indices: Sequence[int] | np.ndarray, seconds: float) -> None:
        """What computing these took, doubtful until `confirm`: whoever needs their price before times them once more."""
        lengths = self.starts[np.asarray(indices) + 1] - self.starts[indices]
        self.seconds[indices] = -np.maximum(seconds * lengths / max(1, lengths.sum()), np.finfo(np.float32).tiny)

    def confirm(self, indices: Sequence[int] | np.ndarray) -> None:
        """Nothing has disturbed what these took."""
        self.seconds[indices] = np.abs(self.seconds[indices])


def open_activations(
    key: Sequence[object], split: str, lengths: np.ndarray, width: int, dtype: torch.dtype
) -> Activations | None:
    """The activations of a split under this key, empty if they are new; None when the disk has no room or no right for them.

    key: all that decides their values. lengths: tokens per example. What was longest unused makes room.
    """
    parts = [*map(str, key), split, width, str(dtype), versions(), boot_id()]
    root = cache_folder() / "activations"
    folder = root / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    try:
        if not folder.exists():
            root.mkdir(parents=True, exist_ok=True)
            values_bytes = int(np.sum(lengths)) * width * dtype.itemsize
            if not make_room(root, values_bytes, shutil.disk_usage(root).free):
                return None
            create(folder, {"values": values_bytes, "seconds": len(lengths) * 4})
        os.utime(folder)
        return Activations(folder, lengths, width, dtype)
    except (OSError, RuntimeError):  # a full or read-only disk; another worker that makes room at this moment
        return None


def create(folder: Path, sizes: dict[str, int]) -> None:
    """Files of zeros of these sizes, their space taken on the disk: a mapped file that cannot grow kills who writes."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir()
    try:
        for name, size in sizes.items():
            with (aside / name).open("wb") as file:
                file.truncate(max(1, size))
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, max(1, size))
        os.replace(aside, folder)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not folder.exists():  # else another worker was faster
            raise


def make_room(root: Path, wanted_bytes: int, free_bytes: int) -> bool:
    """Delete the longest unused until `wanted_bytes` more stay within the share of the disk. False if it never will.

    Workers that have a deleted file mapped keep it until they end.
    """
    used = {path: path.stat().st_mtime for path in root.iterdir() if path.is_dir()}
    folders = sorted(used, key=lambda path: used[path])
    sizes = {path: folder_bytes(path) for path in folders}
    taken = sum(sizes.values())
    limit = DISK_SHARE * (free_bytes + taken)
    if wanted_bytes > limit:
        return False
    for folder in folders:
        if taken + wanted_bytes <= limit:
            break
        gone = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        with contextlib.suppress(OSError):  # another worker was faster
            os.replace(folder, gone)  # first out of sight, whole: half a folder would be believed
        shutil.rmtree(gone, ignore_errors=True)
        taken -= sizes[folder]
    return True


def boot_id() -> str:
    """This start of this machine."""
    if BOOT_ID.exists():
        return BOOT_ID.read_text(encoding="ascii").strip()
    return str(int(psutil.boot_time()) // 60)
