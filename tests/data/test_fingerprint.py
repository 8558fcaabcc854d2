"""Finding a model, and knowing it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors

from peftcost.data import fingerprint
from peftcost.data.fingerprint import hub_snapshot, model_fingerprint, resolve_model
from peftcost.errors import EnvironmentFailure, UserError


@pytest.fixture
def model(tmp_path: Path, tiny_bert: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_fingerprint_follows_content_not_place(model: Path, tiny_bert: Path) -> None:
    assert model_fingerprint(model) == model_fingerprint(tiny_bert)
    (model / "README.md").write_text("more")
    assert model_fingerprint(model) == model_fingerprint(tiny_bert)
    flip(model / "model.safetensors", -5)
    assert model_fingerprint(model) != model_fingerprint(tiny_bert)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_fingerprint_covers_configuration_and_tokenizer(model: Path, name: str) -> None:
    before = model_fingerprint(model)
    (model / name).write_text((model / name).read_text() + " ")
    assert model_fingerprint(model) != before


def test_large_weights_are_told_by_their_ends_and_size(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "FULL_HASH_BYTES", 1000)
    monkeypatch.setattr(fingerprint, "MIB", 64)
    before, weights = model_fingerprint(model), model / "model.safetensors"
    for at, seen in ((3, True), (-3, True), (len(weights.read_bytes()) // 2, False)):
        flip(weights, at)
        assert (model_fingerprint(model) != before) is seen
        flip(weights, at)
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert model_fingerprint(model) != before


def test_local_and_builtin_models(model: Path, minilm: Path) -> None:
    assert resolve_model(str(model)) == model
    assert resolve_model("model", model.parent) == model
    assert resolve_model("builtin:minilm") == minilm


def test_folders_that_lack_something_say_what(model: Path) -> None:
    def refused(*says: str) -> None:
        with pytest.raises(UserError) as caught:
            resolve_model(str(model))
        for words in (str(model), *says):
            assert words in str(caught.value)

    for tokenizer in ("tokenizer.json", "vocab.txt"):
        (model / tokenizer).unlink(missing_ok=True)
    refused("lacks a tokenizer")
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused("model.safetensors", "Git LFS")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    refused("lacks weights", "pytorch_model.bin", "no pickles")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1-of-2.safetensors"}}))
    refused("lacks weights", "model-1-of-2.safetensors")
    (model / "config.json").write_text("{")
    refused("config.json is damaged (it is no JSON")
    (model / "config.json").unlink()
    refused("lacks config.json")
    (model / "adapter_config.json").write_text("{}")
    refused("an adapter, not a whole model")


def test_paths_that_are_not_there_are_not_looked_up_on_the_hub() -> None:
    for name in ("./gone", "/gone/for/good", "~/gone", "a/b/c"):
        with pytest.raises(UserError, match="no model folder"):
            resolve_model(name)


@pytest.mark.parametrize(
    ("raised", "expected", "says"),
    [
        (errors.GatedRepoError, UserError, "gated"),
        (errors.RepositoryNotFoundError, UserError, "neither a folder nor a hub model"),
        (ConnectionError, EnvironmentFailure, "check the network"),
    ],
)
def test_hub_models_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, raised: type[Exception], expected: type[Exception], says: str
) -> None:
    def download(model: str, local_files_only: bool = False, **_: object) -> str:
        if local_files_only:
            raise errors.LocalEntryNotFoundError("not cached")
        raise raised.__new__(raised)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(expected, match=says) as caught:
        resolve_model("somebody/some-model")
    assert "somebody/some-model" in str(caught.value)


def test_hub_cache_comes_first_unless_it_is_not_whole(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str, local_files_only: bool = False, **_: object) -> str:
        asked.append(local_files_only)
        return str(model if not local_files_only or whole else model.parent)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    whole = True
    assert resolve_model("somebody/some-model") == model
    whole = False
    assert resolve_model("somebody/some-model") == model
    assert asked == [True, True, False]


def test_a_folder_of_the_hubs_cache_has_a_name_and_a_commit() -> None:
    assert hub_snapshot(Path("/cache/models--owner--base/snapshots/0a1b")) == ("owner/base", "0a1b")
    assert hub_snapshot(Path("/cache/models--gpt2/snapshots/0a1b")) == ("gpt2", "0a1b")
    for other in ("", "/models/base", "/cache/models--owner--base", "/cache/datasets--a--b/snapshots/0a1b"):
        assert hub_snapshot(Path(other)) is None


def test_a_commit_is_asked_of_the_hub_alone(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, revision, **_: str(model if (name, revision) == ("owner/base", "0a1b") else ""),
    )
    assert resolve_model("owner/base", revision="0a1b") == model


def test_no_hub_id() -> None:
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        resolve_model("what is this")


def test_without_network_the_real_client_ends_in_one_sentence() -> None:
    with pytest.raises(EnvironmentFailure, match="check the network"):
        resolve_model("somebody/some-model-that-nobody-cached")
