"""Image classification: files and cells, what is told of them, and real trainings with a ViT and with convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from files_to_classes import prepared_for, share_right_by_an_adapter
from PIL import Image
from transformers import (
    AutoConfig,
    BitImageProcessorPil,
    ConvNextImageProcessorPil,
    ResNetConfig,
    ResNetModel,
    ViTImageProcessorPil,
)

from peftcost.core.setup import Setup
from peftcost.data.builtin import builtin_table
from peftcost.data.table import Table
from peftcost.engine.artifact import load_artifact, reload
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.step_estimate import Shape, estimate_step
from peftcost.engine.train import train
from peftcost.engine.train_state import build
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.task.columns import guess_columns
from peftcost.task.draft import draft_task_yaml
from peftcost.task.examine import examine
from peftcost.task.splits import load_task_data
from peftcost.task.task import Task
from peftcost.tasks import get_task_type
from peftcost.tasks.image_inputs import pixel_reader
from peftcost.tasks.one_file import OneFile

KIND = get_task_type("image-classification")
assert isinstance(KIND, OneFile)
COLUMNS = {"image": "image", "label": "digit"}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of noisy red, green and blue pictures."""
    folder, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for i in range(60):
            pixels = random.integers(0, 160, (8, 8, 3), np.uint8)
            pixels[..., channel] += 70
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def tiny_resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small, random, with batch normalization and no list of transformer layers."""
    folder = tmp_path_factory.mktemp("tiny-resnet")
    torch.manual_seed(0)
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")).save_pretrained(
        folder
    )
    ConvNextImageProcessorPil(size={"shortest_edge": 16}, crop_pct=1.0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prepared_colours(tiny_vit: Path, colours: Path) -> str:
    return prepared_for(tiny_vit, colours)


def test_what_a_gpu_holds_in_bf16_is_loaded_as_it_was_saved(
    prepared_colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its files, transformers calls a ViT's parameters by other names than the model does."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    setup = Setup.of("frozen", {**get_method("frozen").prior(), "weights": "bf16", "precision": "bf16"}, 64)
    train(TrainJob(prepared_colours, setup, 1, str(tmp_path)), NullReporter())
    payload = {"prepared": prepared_colours, "setup": setup.as_dict(), "seed": 1, "out": str(tmp_path)}
    assert reload(payload, NullReporter())["differing"] == 0
    model, _ = load_artifact(tmp_path / "model", setup, load_dataset_info(Path(prepared_colours)), 9)
    held = {name: parameter.dtype for name, parameter in model.named_parameters()}
    in_fp32 = {name for name, dtype in held.items() if dtype == torch.float32}
    assert in_fp32 == {"classifier.weight", "classifier.bias"}, "all that is trained"
    assert set(held.values()) == {torch.float32, torch.bfloat16}


ADDRESSES = ("https://a.example/photo?id={}", "https://a.example/{}.png", "s3://a/{}.png")


def addressed(address: str, **more: str) -> Table:
    rows = [{"image_url": address.format(i), **more, "label": "ab"[i % 2]} for i in range(4)]
    return Table("t.csv", list(rows[0]), rows, list(range(2, 6)))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("label", [None, "label", "breed"])
def test_addresses_of_pictures_are_refused_with_what_to_do(label: str | None, address: str) -> None:
    table = addressed(address, breed="golden retriever")
    says = (
        r"t\.csv, column 'image_url': it holds addresses of pictures, and nothing is fetched; .*img2dataset.* column of paths"
    )
    with pytest.raises(UserError, match=says):
        guess_columns(table, label)


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_beside_texts_or_files_are_passed_over(address: str) -> None:
    described = addressed(address, text="A large dog that likes the sea")
    assert guess_columns(described, None)[1] == {"text": "text", "label": "label"}
    rows = [{"image_url": address.format(i), "path": f"{i}.png", "breed": "a"} for i in range(4)]
    beside = Table("t.csv", list(rows[0]), rows, list(range(2, 6)))
    assert guess_columns(beside, None)[1] == {"image": "path", "label": "breed"}


def test_pictures_are_kept_as_bytes_and_come_out_as_the_processor_makes_them(prepared_colours: str, tiny_vit: Path) -> None:
    split, info = load_split(Path(prepared_colours), "train"), load_dataset_info(Path(prepared_colours))
    assert split.columns["pixel_values"].values.dtype == np.uint8
    batch = KIND.collate(split, np.array([3]), info.padding, info.max_length)
    reader = pixel_reader(str(tiny_vit))
    picture = Image.fromarray(split.columns["pixel_values"].values[3].transpose(1, 2, 0))
    wanted = reader.processor([picture])["pixel_values"][0]
    np.testing.assert_allclose(batch.inputs["pixel_values"][0], wanted, atol=1e-5)
    assert batch.width == split.lengths[3] == 17  # patches, and the one in front


@pytest.mark.parametrize("method", ["full", "frozen", "lora"])
def test_a_vit_trains(prepared_colours: str, tmp_path: Path, method: str) -> None:
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 3e-3 if method == "full" else 1e-2}, 800)
    measured = train(TrainJob(prepared_colours, setup, 1, str(tmp_path)), NullReporter())
    assert measured["quality"] > 0.8


def test_an_adapters_folder_is_enough_to_predict(prepared_colours: str, colours: Path, tmp_path: Path) -> None:
    assert share_right_by_an_adapter(KIND, prepared_colours, colours, 800, tmp_path) > 0.8


def test_the_layers_below_are_computed_once(prepared_colours: str) -> None:
    info = load_dataset_info(Path(prepared_colours))
    state = build(Setup.of("lora", {**get_method("lora").prior(), "top_layers": 1}, 64), 0, info, 10)
    assert state.frozen_layers is not None
    assert state.frozen_layers.depth == 2
    batch = state.collator.batch(load_split(Path(prepared_colours), "train"), [0, 1, 2])
    assert state.frozen_layers.run(batch.inputs).shape == (3, batch.width, 32)


def test_batch_normalization_stays_as_the_base_has_it(tiny_resnet: Path, colours: Path, tmp_path: Path) -> None:
    prepared = prepared_for(tiny_resnet, colours)
    state = build(Setup.of("full", get_method("full").prior(), 64), 0, load_dataset_info(Path(prepared)), 10)
    state.model.train()
    before = {name: buffer.clone() for name, buffer in state.plain.named_buffers()}
    state.model(**state.collator.batch(load_split(Path(prepared), "train"), range(8)).inputs)
    assert all(torch.equal(before[name], buffer) for name, buffer in state.plain.named_buffers())
    setup = Setup.of("full", {**get_method("full").prior(), "learning_rate": 1e-2}, 600)
    assert train(TrainJob(prepared, setup, 1, str(tmp_path)), NullReporter())["quality"] > 0.8


def test_an_estimate_is_made_of_the_pictures_own_shape(tiny_resnet: Path, tiny_vit: Path) -> None:
    """The config of a ResNet does not know how large pictures are; its processor does."""
    choices = Setup.of("full", get_method("full").prior(), 64).hyperparameters
    targets = KIND.targets([{"label": "0"}, {"label": "1"}])
    for folder, shape in ((tiny_resnet, (3, 16, 16)), (tiny_vit, (3, 8, 8))):
        config = AutoConfig.from_pretrained(folder)
        assert KIND.dummy_batch(config, targets, (4, 4)).inputs["pixel_values"].shape == (2, *shape)
        found = estimate_step(config, KIND, get_method("full"), choices, Shape(8, 17), targets)
        assert found.peak_bytes > found.parts["weights"] > 0
        assert found.work.flops > 0


def test_a_processor_that_does_not_suit_is_told(tiny_vit: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copytree(tiny_vit, tmp_path / "other")
    ViTImageProcessorPil(size={"height": 12, "width": 12}).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="12 × 12 pixels, which the model beside it does not take"):
        pixel_reader(str(tmp_path / "other"))
    BitImageProcessorPil(size={"shortest_edge": 8}, do_center_crop=False).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="different sizes"):
        pixel_reader(str(tmp_path / "other"))
    (tmp_path / "other" / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match="no image processor"):
        pixel_reader(str(tmp_path / "other"))


def test_max_length_says_nothing_of_pictures(tiny_vit: Path, colours: Path) -> None:
    with pytest.raises(UserError, match="max_length cuts texts"):
        prepared_for(tiny_vit, colours, max_length=16)


def test_a_column_of_files_is_recognised_and_copies_do_not_leak(tmp_path: Path) -> None:
    """Paths are relative to the data file; the same picture under another name is a copy."""
    (tmp_path / "all").mkdir()
    lines = ["file,animal,note"]
    for i in range(40):
        Image.new("RGB", (8, 8), (6 * (i // 2), 0, 0)).save(tmp_path / "all" / f"{i}.png")
        lines.append(f"all/{i}.png,{'ab'[i // 2 % 2]},some words that are longer than a path number {i}")
    (tmp_path / "animals.csv").write_text("\n".join(lines))
    text = draft_task_yaml(tmp_path / "animals.csv", "animal")
    assert "task: image-classification" in text
    assert "columns: {image: file, label: animal}" in text
    assert "'file' looks like the image" in text
    task = Task(model="x", data=str(tmp_path / "animals.csv"), task=KIND.name, columns={"image": "file", "label": "animal"})
    found = examine(task)
    assert found.inputs == ["sizes: 8 × 8 in 100.0% of the pictures", "colours: RGB 40"]
    assert any("20 rows are copies" in warning for warning in found.warnings)
    data = load_task_data(task, 0)
    assert not {e["image"] for e in data.train} & {e["image"] for e in (*data.dev, *data.test)}


def test_a_broken_file_is_refused_or_left_out_and_told(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (9 * i, 0, 0)).save(tmp_path / "ab"[i % 2] / f"{i:02}.png")
    (tmp_path / "b" / "05.png").write_text("oh")
    task = Task(model="x", data=str(tmp_path))
    with pytest.raises(UserError, match="picture 13, column 'image': b/05.png cannot be opened"):
        load_task_data(task, 0)
    data = load_task_data(task.model_copy(update={"skip_bad_rows": True}), 0)
    assert len(data.train) + len(data.dev) + len(data.test) == 19
    assert len(data.rejected) == 1


def test_which_file_is_one_of_pictures() -> None:
    table = builtin_table("builtin:digits")
    assert guess_columns(table, None) == (KIND, COLUMNS)
    texts = Table("t.csv", ["text", "label"], [{"text": "see a.png or b", "label": "x"}], [2])
    assert KIND.guess_columns(texts, None) is None
    two = Table("t.csv", ["a", "b", "label"], [{"a": "1.png", "b": "2.png", "label": "x"}], [2])
    with pytest.raises(UserError, match="several columns"):
        KIND.guess_columns(two, None)
