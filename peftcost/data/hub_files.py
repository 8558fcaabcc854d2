"""A file of a data set on the Hugging Face hub, at one commit: hf://datasets/OWNER/NAME@COMMIT/PATH."""

from __future__ import annotations

import re
from pathlib import Path

from peftcost.errors import EnvironmentFailure, UserError

HUB = "hf://"
SHAPE = "hf://datasets/OWNER/NAME@COMMIT/train.parquet"
ADDRESS = re.compile(r"hf://(?:datasets/)?([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
LARGEST = 2 * 2**30
"""Bytes that are downloaded without being asked for."""


def is_hub_file(path: str | Path) -> bool:
    return str(path).startswith(HUB)


def located(path: str | Path) -> str:
    """A data file as it is found from any folder: by its absolute path, or its address on the hub."""
    return str(path) if is_hub_file(path) else str(Path(path).absolute())


def hub_file(address: str) -> Path:
    """The file in the local cache, downloaded where the cache lacks it.

    UserError for an address without a commit or a file, what is not there, and a file above LARGEST; EnvironmentFailure when
    the hub cannot be reached.
    """
    from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    repository, commit, name = _parts(address)
    cached = try_to_load_from_cache(repository, name, constants.HF_HUB_CACHE, commit, "dataset")
    if isinstance(cached, str):
        return Path(cached)
    if constants.is_offline_mode():
        raise UserError(f"{address} is not in the local cache, and HF_HUB_OFFLINE forbids a download; fetch it beforehand.")
    try:
        size = get_hf_file_metadata(hf_hub_url(repository, name, repo_type="dataset", revision=commit)).size or 0
        if size > LARGEST:
            raise UserError(f"{address} holds {size / 2**30:.1f} GiB; download it yourself, and give the file.")
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=commit))
    except errors.GatedRepoError as error:
        raise UserError(
            f"The data set {repository} is gated; accept its terms at https://huggingface.co/datasets/{repository} and log "
            "in with `hf auth login`."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise UserError(
            f"{address} is not on the hub; check owner, name, commit and file (a private one needs `hf auth login`)."
        ) from error
    except UserError:
        raise
    except Exception as error:  # what the hub's client lets through from its HTTP library, and full disks
        raise EnvironmentFailure(
            f"{address} is not in the local cache and could not be downloaded ({type(error).__name__}); check the network "
            "and try again, or give a local file."
        ) from error


def _parts(address: str) -> tuple[str, str, str]:
    """Repository, commit and file."""
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise UserError(f"{address} is no address of a data set's file; write {SHAPE}.")
    repository, commit, name = found.groups()
    if commit is None or not COMMIT.fullmatch(commit):
        said = f"names no commit ({commit} can move)" if commit else "names no commit"
        raise UserError(
            f"{address} {said}; write the 40 digits of one, which https://huggingface.co/datasets/{repository}/commits/main "
            f"lists: {SHAPE}."
        )
    if name is None:
        raise UserError(f"{address} names no file; write one of those on its page, as in {SHAPE}.")
    return repository, commit, name
