"""Finds a model's folder, and tells whether it is still the same model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from peftcost.data.builtin import PREFIX, builtin_model
from peftcost.errors import EnvironmentFailure, UserError

MIB = 2**20
FULL_HASH_BYTES = 2**30
"""Up to this much weight in total every byte is hashed; above, names, sizes and both ends of each file."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "merges.txt")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


def model_fingerprint(folder: Path) -> str:
    """sha256 over the configuration, the tokenizer or processor, and the weights of a model's folder."""
    weights = sorted(folder.glob("*.safetensors"))
    in_full = sum(path.stat().st_size for path in weights) <= FULL_HASH_BYTES
    digest = hashlib.sha256()
    names = ("config.json", *TOKENIZER_FILES, *TOKENIZER_SETTINGS, *PROCESSOR_FILES)
    for path in [*(folder / name for name in names), *weights]:
        if path.exists():
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            _hash_file(digest, path, in_full or path not in weights)
    return digest.hexdigest()


def _hash_file(digest: hashlib._Hash, path: Path, in_full: bool) -> None:
    with path.open("rb") as file:
        if in_full:
            while block := file.read(MIB):
                digest.update(block)
            return
        digest.update(file.read(MIB))
        file.seek(max(0, path.stat().st_size - MIB))
        digest.update(file.read(MIB))


def resolve_model(model: str, base_folder: Path | None = None, revision: str | None = None) -> Path:
    """The folder of `builtin:NAME`, of a local model, or of a hub model (downloaded if the cache lacks it).

    base_folder: what relative paths are relative to (default: the working directory). revision: of a hub model, a commit.
    UserError for a folder that lacks something and for a gated or unknown hub model; EnvironmentFailure when the
    hub cannot be reached.
    """
    if model.startswith(PREFIX):
        return builtin_model(model)
    if revision is not None:
        return checked_model_folder(_from_hub(model, revision))
    folder = (base_folder or Path()) / Path(model).expanduser()
    if folder.is_dir():
        return checked_model_folder(folder.absolute())
    if looks_like_a_path(model):
        raise UserError(f"There is no model folder {folder}; check the path, or give a hub id or {PREFIX}minilm.")
    return checked_model_folder(_from_hub(model))


def hub_snapshot(folder: Path) -> tuple[str, str] | None:
    """The hub id and the commit of a model's folder in the hub's cache; None for another folder."""
    kind, *names = folder.parent.parent.name.split("--")
    is_snapshot = kind == "models" and names and folder.parent.name == "snapshots"
    return ("/".join(names), folder.name) if is_snapshot else None


def model_config_folder(model: str) -> Path:
    """As `resolve_model`, but a folder that has only config.json will do."""
    folder = Path(model).expanduser()
    if model.startswith(PREFIX) or not (folder.is_dir() or looks_like_a_path(model)):
        return resolve_model(model)
    if not folder.is_dir():
        raise UserError(f"There is no model folder {folder}; check the path, or give a hub id or {PREFIX}minilm.")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} lacks config.json; give a model's folder, a hub id or {PREFIX}minilm.")
    read_fields(folder / "config.json")
    return folder


def base_config(model: str) -> dict[str, Any]:
    """The config.json of a base."""
    return read_fields(model_config_folder(model) / "config.json")


def looks_like_a_path(model: str) -> bool:
    """Whether this can be no hub id: those are NAME or OWNER/NAME."""
    return model.startswith(("/", ".", "~")) or model.endswith("/") or model.count("/") > 1 or "\\" in model


def checked_model_folder(folder: Path) -> Path:
    """The folder, if it holds a configuration, safetensors weights and a processor of inputs; else UserError."""
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").exists()
        raise UserError(
            f"{folder} is {'an adapter, not a whole model' if adapter else 'no model folder'}: it lacks config.json; "
            "give a folder that `save_pretrained` wrote."
        )
    read_fields(folder / "config.json")
    _check_weights(folder)
    if not any((folder / name).exists() for name in (*TOKENIZER_FILES, *PROCESSOR_FILES)):
        raise UserError(
            f"{folder} lacks a tokenizer (none of {', '.join(TOKENIZER_FILES)}) and an image processor or feature "
            f"extractor ({PROCESSOR_FILES[0]}); save it there with `tokenizer.save_pretrained`."
        )
    return folder


def read_fields(file: Path, again: str = "copy the model again") -> dict[str, Any]:
    """The fields of a JSON file of a model's folder. UserError where it is damaged. again: what to do then."""
    raw = file.read_bytes()
    try:
        found = json.loads(raw.decode("utf-8"))
        wrong = "it holds no fields"
    except ValueError as error:
        found, wrong = None, f"it is no JSON: {error}" if raw.strip() else "it is empty"
    if not isinstance(found, dict):
        raise UserError(f"{file} is damaged ({wrong}); {again}.")
    return found


def _check_weights(folder: Path) -> None:
    """UserError if model.safetensors, or a shard that its index names, is not there or not readable."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    names = set(read_fields(index).get("weight_map", {}).values()) if index.exists() else {"model.safetensors"}
    weights = [folder / name for name in sorted(names)]
    missing = [path.name for path in weights if not path.exists()]
    if missing and index.exists():
        raise UserError(f"{folder} lacks weights: {missing[0]}, which {index.name} names, is not there; copy it too.")
    if missing or not weights:
        pickled = next(iter(sorted(folder.glob("*.bin"))), None)
        held = f" (only {pickled.name}, and peftcost reads no pickles)" if pickled is not None else ""
        raise UserError(
            f"{folder} lacks weights: it holds no model.safetensors{held}; save the model there with `save_pretrained`."
        )
    for path in weights:
        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{path} holds no readable weights ({error}); a Git LFS pointer or half a download? Copy it again."
            ) from error


def _from_hub(model: str, revision: str | None = None) -> Path:
    """The snapshot of a hub model: from the local cache if it is whole there, else downloaded."""
    from huggingface_hub import errors, snapshot_download

    try:
        cached = Path(snapshot_download(model, revision=revision, allow_patterns=HUB_FILES, local_files_only=True))
        return checked_model_folder(cached)
    except errors.HFValidationError as error:
        raise UserError(f"{model!r} is neither a folder nor a hub id; give one of them, or {PREFIX}minilm.") from error
    except (errors.LocalEntryNotFoundError, UserError):
        pass  # not cached, or not whole
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=HUB_FILES))
    except errors.GatedRepoError as error:
        raise UserError(
            f"The hub model {model} is gated; accept its terms at https://huggingface.co/{model} and log in with "
            "`hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"There is neither a folder nor a hub model {model!r}; check the name (a private one needs "
            f"`hf auth login`), or use {PREFIX}minilm."
        ) from error
    except Exception as error:  # what the hub's client lets through from its HTTP library, and full disks
        raise EnvironmentFailure(
            f"The hub model {model} is not in the local cache and could not be downloaded ({type(error).__name__}); "
            f"check the network and try again, or give a local folder or {PREFIX}minilm."
        ) from error
