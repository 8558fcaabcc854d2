"""Audio classification: real trainings with a transformer on spectrograms and one on waves, and what is told of sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from files_to_classes import prepared_for, share_right_by_an_adapter
from transformers import ASTFeatureExtractor, AutoConfig, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from peftcost.core.setup import Setup
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.step_estimate import Shape, estimate_step
from peftcost.engine.train import train
from peftcost.engine.train_state import build
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.task.draft import draft_task_yaml
from peftcost.task.examine import examine
from peftcost.task.task import Task
from peftcost.tasks import get_task_type
from peftcost.tasks.audio_inputs import WAVE_SECONDS, sound_reader
from peftcost.tasks.one_file import OneFile

KIND = get_task_type("audio-classification")
assert isinstance(KIND, OneFile)
RATE = 8_000


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of low, high and noisy sounds, of .2 to .5 seconds."""
    folder, random = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for name, hertz in (("low", 300), ("high", 2000), ("noise", 0)):
        (folder / name).mkdir()
        for i in range(60):
            time = np.arange(random.integers(RATE // 5, RATE // 2)) / RATE
            tone = np.sin(2 * np.pi * hertz * time * random.uniform(0.9, 1.1)) if hertz else random.normal(size=len(time))
            soundfile.write(folder / name / f"{i}.wav", 0.3 * tone + 0.02 * random.normal(size=len(time)), RATE)
    return folder


@pytest.fixture(scope="module")
def tiny_wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small and random, on waves."""
    folder = tmp_path_factory.mktemp("tiny-wav2vec2")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    convolutions = {"conv_dim": [16, 16, 16], "conv_stride": [10, 8, 8], "conv_kernel": [20, 16, 16]}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    config = Wav2Vec2Config(**sizes, **convolutions, **positions, classifier_proj_size=32)
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def test_a_folder_of_sounds_is_drafted_and_told(tiny_ast: Path, tones: Path) -> None:
    assert "task: audio-classification" in draft_task_yaml(tones)
    told = "\n".join(examine(Task(model=str(tiny_ast), data=str(tones))).inputs)
    assert "length: median 0.3" in told
    assert "8,000 (" in told


def test_features_are_those_of_the_bases_own_extractor(tiny_ast: Path, tones: Path) -> None:
    prepared = Path(prepared_for(tiny_ast, tones))
    split, info = load_split(prepared, "train"), load_dataset_info(prepared)
    batch = KIND.collate(split, np.array([0, 3]), info.padding, info.max_length)
    assert batch.inputs["input_values"].shape == (2, 32, 16)
    assert batch.width == 2 * 4 + 2  # patches, and the two in front
    assert 0.3 < float(split.columns["input_values"].values.std()) < 1.2


@pytest.mark.parametrize("method", ["full", "frozen", "lora"])
def test_a_spectrogram_transformer_trains(tiny_ast: Path, tones: Path, tmp_path: Path, method: str) -> None:
    prepared = prepared_for(tiny_ast, tones)
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 3e-3 if method == "full" else 1e-2}, 800)
    assert train(TrainJob(prepared, setup, 1, str(tmp_path)), NullReporter())["quality"] > 0.8


def test_the_layers_below_are_computed_once(tiny_ast: Path, tones: Path) -> None:
    prepared = Path(prepared_for(tiny_ast, tones))
    state = build(Setup.of("lora", {**get_method("lora").prior(), "top_layers": 1}, 64), 0, load_dataset_info(prepared), 10)
    assert state.frozen_layers is not None
    batch = state.collator.batch(load_split(prepared, "train"), [0, 1, 2])
    assert state.frozen_layers.run(batch.inputs).shape == (3, batch.width, 32)


def test_a_base_on_waves_trains_on_their_first_seconds(tiny_wav2vec2: Path, tones: Path, tmp_path: Path) -> None:
    prepared = prepared_for(tiny_wav2vec2, tones)
    split = load_split(Path(prepared), "train")
    assert split.columns["input_values"].values.shape[1] == round(WAVE_SECONDS * 16_000)
    setup = Setup.of("full", {**get_method("full").prior(), "learning_rate": 3e-3}, 400)
    measured = train(TrainJob(prepared, setup, 1, str(tmp_path)), NullReporter())
    assert measured["dev_loss"] < 0.97 * np.log(3)  # guessing gives log(3)


def test_an_estimate_is_made_of_the_sounds_own_shape(tiny_ast: Path, tiny_wav2vec2: Path) -> None:
    choices = Setup.of("full", get_method("full").prior(), 64).hyperparameters
    targets = KIND.targets([{"label": "a"}, {"label": "b"}])
    for folder, shape in ((tiny_ast, (32, 16)), (tiny_wav2vec2, (round(WAVE_SECONDS * 16_000),))):
        config = AutoConfig.from_pretrained(folder)
        assert KIND.dummy_batch(config, targets, (4, 4)).inputs["input_values"].shape == (2, *shape)
        step = Shape(8, sound_reader(str(folder)).positions)
        found = estimate_step(config, KIND, get_method("full"), choices, step, targets)
        assert found.peak_bytes > found.parts["weights"] > 0


@pytest.mark.parametrize("base", ["tiny_ast", "tiny_wav2vec2"])
def test_sounds_of_any_length_make_one_batch(base: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Of a long sound the first seconds are heard, and no more of it is decoded; a click is filled up with silence."""
    reader, noise = sound_reader(str(request.getfixturevalue(base))), np.random.default_rng(0).normal(size=20 * RATE) / 5
    for name, n in (("click", 3), ("long", 20 * RATE), ("same start", 12 * RATE)):
        soundfile.write(tmp_path / f"{name}.wav", noise[:n], RATE)
    click, long, same = reader.features([str(tmp_path / f"{name}.wav") for name in ("click", "long", "same start")])
    assert click.shape == long.shape == reader.shape
    np.testing.assert_allclose(long, same, atol=1e-2)
    assert np.isfinite(click.astype(np.float32)).all()


def test_an_adapters_folder_is_enough_to_predict(tiny_ast: Path, tones: Path, tmp_path: Path) -> None:
    prepared = prepared_for(tiny_ast, tones)
    assert share_right_by_an_adapter(KIND, prepared, tones, 400, tmp_path) > 0.7


def test_an_extractor_that_does_not_suit_is_told(tiny_ast: Path, tiny_bert: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copytree(tiny_ast, tmp_path / "other")
    ASTFeatureExtractor(num_mel_bins=16, max_length=4).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="inputs of 4 × 16, which the model beside it does not take"):
        sound_reader(str(tmp_path / "other"))
    with pytest.raises(UserError, match="no feature extractor for sounds"):
        sound_reader(str(tiny_bert))
