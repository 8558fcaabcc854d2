"""Whatever happens to a checkpoint on disk, what is read back is whole or is not read."""

from pathlib import Path

import pytest
import torch

from peftcost.engine.checkpoint import keep_only, newest_checkpoint, save_checkpoint


def facts(step: int) -> dict[str, object]:
    return {"lineage": "lora-1", "seed": 0, "step": step, "gpu_seconds": 1.5}


def test_the_newest_that_verifies_is_used(tmp_path: Path) -> None:
    for step in (10, 20):
        save_checkpoint(tmp_path, {"a": torch.full((3,), float(step))}, facts(step))
    data = tmp_path / "step-00000020" / "state.safetensors"
    raw = bytearray(data.read_bytes())
    raw[-1] ^= 1  # safetensors itself would not notice
    data.write_bytes(raw)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.facts["step"] == 10
    assert torch.equal(found.tensors["a"], torch.full((3,), 10.0))


@pytest.mark.parametrize("harm", ["truncate", "no manifest", "half a manifest", "other schema"])
def test_a_broken_checkpoint_counts_as_none(tmp_path: Path, harm: str) -> None:
    folder = save_checkpoint(tmp_path, {"a": torch.ones(100)}, facts(5))
    manifest = folder / "manifest.json"
    if harm == "truncate":
        data = folder / "state.safetensors"
        data.write_bytes(data.read_bytes()[:-8])
    elif harm == "no manifest":
        manifest.unlink()
    elif harm == "half a manifest":
        manifest.write_text(manifest.read_text()[:20])
    else:
        manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    assert newest_checkpoint(tmp_path) is None


def test_a_failed_write_leaves_the_older_one_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, {"a": torch.ones(1)}, facts(1))

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("peftcost.engine.checkpoint.save_file", full_disk)
    with pytest.raises(OSError):
        save_checkpoint(tmp_path, {"a": torch.ones(1)}, facts(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_what_is_not_needed_is_deleted(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"a": torch.ones(1)}, facts(step))
    keep_only(tmp_path, {2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
