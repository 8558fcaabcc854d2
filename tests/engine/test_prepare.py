"""What is found out about a base before anything is trained on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import transformers

from peftcost.engine.dataset import load_dataset_info
from peftcost.engine.job import NullReporter, prepare_payload
from peftcost.engine.prepare import max_positions, prepare
from peftcost.errors import UserError
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
