"""What is found out about a base before anything is trained on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from peftcost.core.setup import Setup
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.job import NullReporter, prepare_payload
from peftcost.engine.prepare import max_positions, prepare
from peftcost.engine.train_state import build
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.task.lengths import NO_LIMIT
from peftcost.task.task import Rows, load_task
from peftcost.tasks.text_inputs import load_tokenizer

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 120}


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (transformers.BertConfig(**SMALL, max_position_embeddings=64), 64),
        (transformers.RobertaConfig(**SMALL, max_position_embeddings=66, pad_token_id=1), 64),
        (transformers.XLMRobertaConfig(**SMALL, max_position_embeddings=66, pad_token_id=1), 64),
        (transformers.MPNetConfig(**SMALL, max_position_embeddings=66), 64),
        (transformers.LlamaConfig(**SMALL, max_position_embeddings=64), 64),
        (transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, vocab_size=120), 64),
        (transformers.T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, vocab_size=120), NO_LIMIT),
        (transformers.XLNetConfig(d_model=32, n_layer=2, n_head=2, d_inner=64, vocab_size=120), NO_LIMIT),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_the_longest_input_of_an_architecture(config: Any, longest: int, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    assert max_positions(str(tmp_path)) == longest


def tokenized(model: Path) -> None:
    task = load_task("builtin:tweets").model_copy(update={"model": str(model), "rows": Rows(train=40, dev=20, test=20)})
    prepare(prepare_payload(task, 0, str(model), str(model)), NullReporter())


def test_a_tokenizer_of_another_model_is_told(tiny_bert: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": 500}))
    with pytest.raises(UserError, match="the model beside it has 500 tokens"):
        tokenized(model)


def test_a_tokenizer_without_padding_and_end_is_told(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = SimpleNamespace(pad_token=None, eos_token=None)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: bare)
    with pytest.raises(UserError, match="neither a padding nor an end token"):
        load_tokenizer(tiny_bert)


def prepared_of(texts: list[str], model: Path, folder: Path, **fields: Any) -> tuple[int, list[str]]:
    """Where a task of these texts is cut, and what is told of it."""
    data = folder / "data.csv"
    data.write_text("text,label\n" + "".join(f"{text} {i},{'ab'[i % 2]}\n" for i, text in enumerate(texts)))
    task = load_task(data, "label").model_copy(update={"model": str(model), **fields})
    prepared = prepare(prepare_payload(task, 0, str(model), str(model)), NullReporter())
    return load_dataset_info(Path(prepared["prepared"])).max_length, prepared["warnings"]


def test_inputs_are_cut_where_99_of_100_fit(tiny_bert: Path, tmp_path: Path) -> None:
    few_long = ["word"] * 600 + ["word " * 40] * 3
    length, told = prepared_of(few_long, tiny_bert, tmp_path)
    assert length < 20
    assert [f"cut at {length} tokens, which 99% of the training rows" in text for text in told] == [True]
    assert prepared_of(few_long, tiny_bert, tmp_path, max_length=24) == (24, []), "half a percent are no reason to warn"


def test_what_the_model_cannot_take_is_warned_of(tiny_bert: Path, tmp_path: Path) -> None:
    length, told = prepared_of(["word " * 400] * 60, tiny_bert, tmp_path)
    assert length == max_positions(str(tiny_bert))
    assert f"100% of the texts are longer than {length} tokens" in told[0]


FNET = transformers.FNetConfig(hidden_size=32, num_hidden_layers=2, intermediate_size=64, vocab_size=120)
REFORMER = {
    "vocab_size": 120, "hidden_size": 32, "num_attention_heads": 2, "attention_head_size": 16, "feed_forward_size": 64,
    "attn_layers": ["local", "lsh"], "local_attn_chunk_length": 8, "lsh_attn_chunk_length": 4, "num_buckets": 2,
    "max_position_embeddings": 64, "axial_pos_embds_dim": [16, 16], "is_decoder": False, "pad_token_id": 0, "hash_seed": 0,
}  # fmt: skip


def of_kind(config: Any, tiny_bert: Path, folder: Path) -> Path:
    """A base of this configuration with the tokenizer of another."""
    shutil.copytree(tiny_bert, folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    config.vocab_size = json.loads((folder / "config.json").read_text())["vocab_size"]
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["full", "prompt"])
@pytest.mark.parametrize(
    ("config", "widths"),
    [
        (FNET, {9}),
        (transformers.ReformerConfig(**REFORMER, axial_pos_embds=False), {8, 16}),
        (transformers.ReformerConfig(**REFORMER, axial_pos_shape=[4, 8]), {32}),
    ],
    ids=["fnet", "reformer", "reformer with axial positions"],
)
def test_inputs_are_filled_up_to_what_the_base_takes(
    config: Any, widths: set[int], method: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    model = of_kind(config, tiny_bert, tmp_path / "model")
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "".join(f"{'the ' * (1 + i % 6)}{i},{'ab'[i % 2]}\n" for i in range(60)))
    task = load_task(data, "label").model_copy(update={"model": str(model)})
    folder = Path(prepare(prepare_payload(task, 0, str(model), str(model)), NullReporter())["prepared"])
    info, train = load_dataset_info(folder), load_split(folder, "train")
    assert set(train.lengths.tolist()) == widths
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": 1e-2}, 64)
    state = build(setup, 0, info, 4)
    state.model.train()
    out = state.model(**state.collator.batch(train, range(4)).inputs).logits
    assert out.shape == (4, 2)
    state.model.eval()
    with torch.no_grad():
        alone = state.model(**state.collator.batch(train, [0]).inputs).logits
        among_others = state.model(**state.collator.batch(train, range(4)).inputs).logits[:1]
    if config.model_type != "reformer":  # its own filling up to chunks shows
        assert torch.allclose(alone, among_others, atol=1e-5)


def test_a_base_that_takes_too_long_inputs_alone_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    config = transformers.ReformerConfig(**{**REFORMER, "max_position_embeddings": 2**14}, axial_pos_shape=[128, 128])
    model = of_kind(config, tiny_bert, tmp_path / "model")
    with pytest.raises(UserError, match="inputs of 16384 tokens alone"):
        tokenized(model)
    small = of_kind(transformers.ReformerConfig(**REFORMER, axial_pos_shape=[4, 8]), tiny_bert, tmp_path / "small")
    with pytest.raises(UserError, match=r"inputs of 32 tokens alone; set `max_length` so"):
        prepared_of(["word"] * 60, small, tmp_path, max_length=24)


def test_a_base_that_transformers_cannot_run_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    config = transformers.NystromformerConfig(**SMALL, segment_means_seq_len=32, num_landmarks=8)
    with pytest.raises(UserError, match="no mask for a Nystromformer with 8 landmarks"):
        tokenized(of_kind(config, tiny_bert, tmp_path / "model"))
