"""Checkpoints: flat safetensors with a JSON manifest of checksums; never base weights, never pickle.

A checkpoint is a folder `step-NNNNNNNN` that is written aside and then renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """Tensors and the manifest's facts (lineage, seed, step, stable steps, gpu_seconds, …)."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


def save_checkpoint(chain: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> Path:
    """Write `chain/step-NNNNNNNN`; facts needs `step`. Returns the folder."""
    folder = chain / f"step-{facts['step']:08d}"
    aside = chain / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    aside.mkdir(parents=True)
    try:
        data = aside / "state.safetensors"
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, data)
        manifest = {"schema_version": SCHEMA_VERSION, **facts, "sha256": {data.name: _sha256(data)}}
        (aside / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        for path in aside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def newest_checkpoint(chain: Path) -> Checkpoint | None:
    """The newest checkpoint of the chain whose checksums hold, or None. Broken ones are passed over."""
    for folder in sorted(chain.glob("step-*"), reverse=True):
        checkpoint = read_checkpoint(folder)
        if checkpoint is not None:
            return checkpoint
    return None


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in this folder, or None if it is not whole."""
    try:
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if facts["schema_version"] != SCHEMA_VERSION:
            return None
        if any(_sha256(folder / name) != digest for name, digest in facts["sha256"].items()):
            return None
        return Checkpoint(load_file(folder / "state.safetensors"), facts)
    except (OSError, ValueError, KeyError):
        return None


def keep_only(chain: Path, steps: set[int]) -> None:
    """Delete the chain's checkpoints, all but those of these steps."""
    kept = {f"step-{step:08d}" for step in steps}
    for folder in chain.glob("*step-*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
