"""Sequence to sequence: what counts, what the decoder is given, which base means it; every method from data to texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import byte_tokenizer
from safetensors import safe_open
from transformers import AutoModelForSeq2SeqLM

from peftcost.core.setup import Setup
from peftcost.data.table import Table
from peftcost.engine.answers import answer
from peftcost.engine.artifact import predict, reload, write_card
from peftcost.engine.dataset import load_split
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.probe import probe
from peftcost.engine.train import train
from peftcost.errors import SetupFailed, UserError
from peftcost.methods import get_method, methods
from peftcost.task.columns import fit_columns, guess_columns
from peftcost.task.draft import draft_task_yaml
from peftcost.task.task import Task
from peftcost.tasks import get_task_type
from peftcost.tasks.base import IGNORED
from peftcost.tasks.targets import Tokens

KIND = get_task_type("seq2seq")
COLUMNS = {"prompt": "prompt", "completion": "completion"}


def table(*rows: dict[str, Any]) -> Table:
    return Table("data.jsonl", list(rows[0]), list(rows), list(range(1, len(rows) + 1)))


def test_the_completion_counts_with_its_end_and_the_decoder_sees_what_came_before(tiny_bart: Path) -> None:
    tokenizer = KIND.processor(str(tiny_bart))
    rows = table({"prompt": "What?", "completion": "That."}, {"prompt": "Who is it then?", "completion": "I"})
    split = KIND.encode(tokenizer, KIND.read(rows, COLUMNS), Tokens(), 100)
    batch = KIND.collate(split, np.arange(2), KIND.padding(tokenizer), 100)
    assert [tokenizer.decode(row[row != IGNORED]) for row in batch.targets] == ["That.<|end|>", "I<|end|>"]
    given = batch.inputs["decoder_input_ids"]
    assert [tokenizer.decode(row) for row in given] == [
        "<|pad|>That.",
        "<|pad|>I" + "<|end|>" + 3 * "<|pad|>",
    ]
    assert batch.inputs["input_ids"].shape == (2, len("Who is it then?") + 1)
    assert KIND.target_counts(split, 100).tolist() == [6, 2]
    model = AutoModelForSeq2SeqLM.from_pretrained(tiny_bart).eval()
    with torch.no_grad():
        loss, n = KIND.loss(model(**batch.inputs).logits, batch)
        own = {name: tensor for name, tensor in batch.inputs.items() if name != "decoder_input_ids"}
        mean = float(model(**own, labels=batch.targets).loss)
    assert float(loss) / int(n) == pytest.approx(mean, rel=1e-5), "transformers' own loss"


def test_a_width_that_is_asked_for_is_that_of_both_texts() -> None:
    """A CUDA graph is captured for each shape: shapes follow from rows and width alone."""
    tokenizer = byte_tokenizer(None)
    rows = table({"prompt": "What?", "completion": "That."}, {"prompt": "Who?", "completion": "I"})
    split = KIND.encode(tokenizer, KIND.read(rows, COLUMNS), Tokens(), 100)
    padding = {"input_ids": 0.0, "decoder_start": 0.0}
    batches = [KIND.collate(split, np.array([i]), padding, 100, width=16) for i in range(2)]
    for batch in batches:
        assert [tensor.shape for tensor in (*batch.inputs.values(), batch.targets)] == [(1, 16)] * 4
    assert batches[0].targets[0, :5].tolist() == list(split.columns["targets"][0][:5])


def test_what_is_too_long_is_cut_and_keeps_its_end() -> None:
    tokenizer = byte_tokenizer(None)
    split = KIND.encode(tokenizer, KIND.read(table({"prompt": "a" * 50, "completion": "b" * 50}), COLUMNS), Tokens(), 10)
    assert tokenizer.decode(split.columns["targets"][0]) == "b" * 9 + "<|end|>"
    assert split.lengths.tolist() == [10]


def test_the_base_decides_what_pairs_of_texts_mean(tiny_t5: Path, tiny_chat_lm: Path, tmp_path: Path) -> None:
    pair = table({"prompt": "a", "completion": "b"})
    assert fit_columns(pair, None, None, str(tiny_t5))[0].name == "seq2seq"
    assert fit_columns(pair, None, None, str(tiny_chat_lm))[0].name == "causal-lm"
    assert guess_columns(table({"text": "a", "summary": "b"}), None)[0].name == "seq2seq"
    assert guess_columns(table({"prompt": "a", "completion": "b"}), None)[0].name == "causal-lm"
    assert guess_columns(table({"input": "a", "output": "b"}), None, str(tiny_t5))[0].name == "seq2seq"
    with pytest.raises(UserError, match="`task: seq2seq` and `columns: {prompt: prompt, completion: chosen}`"):
        guess_columns(table({"prompt": "a", "chosen": "b", "rejected": "c"}), None, str(tiny_t5))
    labelled = [{"text": text, "target": i % 2} for i, text in enumerate(["a b", "c d", "e f", "g h"])]
    assert guess_columns(table(*labelled), None)[0].name == "text-classification"
    for names in ("question answer label", "text source target", "text summary label"):
        judged = [dict(zip(names.split(), (f"a {i}", f"b {i}", i % 2), strict=True)) for i in range(4)]
        assert guess_columns(table(*judged), None)[0].name == "text-classification"
    assert guess_columns(table({"source": "a", "target": "b"}), None)[0].name == "seq2seq"
    (tmp_path / "d.csv").write_text("article,summary\nlong,short\nlonger,shorter\n")
    drafted = draft_task_yaml(tmp_path / "d.csv", model=str(tiny_t5))
    assert "task: seq2seq" in drafted and "prompt: article, completion: summary" in drafted


@pytest.mark.parametrize(
    ("task", "model", "says"), [("causal-lm", "tiny_t5", "seq2seq"), ("seq2seq", "tiny_gpt2", "causal-lm")]
)
def test_a_base_of_the_other_kind_is_refused_with_the_task_that_takes_it(
    task: str, model: str, says: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"write `task: {says}`"):
        prepared_for(request.getfixturevalue(model), tmp_path, task)


def prepared_for(model: Path, folder: Path, task: str = "seq2seq") -> str:
    pairs = [(letter * n, "yes" if letter in "abc" else "no") for letter in "abcdef" for n in range(1, 21)]
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in pairs]
    (folder / "data.jsonl").write_text("\n".join(lines) + "\n")
    asked = Task(model=str(model), task=task, data=str(folder / "data.jsonl"), columns=COLUMNS)
    return str(prepare(prepare_payload(asked, 0, str(model), model.name), NullReporter())["prepared"])


REFUSED = {
    "prompt": "an encoder and a decoder",
    "prefix": "an encoder and a decoder",
    "frozen": "nothing to train",
}
REFUSED_BY_T5 = {"bitfit": "no biases", "houlsby": "no known block outputs"}


def test_a_base_held_in_half_precision_writes_while_it_is_probed(
    tiny_bart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where adapters are in fp32 beside it."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    choices = {**get_method("lora").prior(), "precision": "bf16", "weights": "bf16"}
    job = TrainJob(prepared_for(tiny_bart, tmp_path), Setup.of("lora", choices, 96), 1, str(tmp_path))
    assert probe(job.as_dict(), NullReporter())["answering_seconds"] > 0


def test_a_base_held_in_half_precision_comes_back_and_writes(
    tiny_bart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU. Houlsby's norms are trained in fp32 beside it; its encoder is called by itself when it writes."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    choices = {**get_method("houlsby").prior(), "precision": "bf16", "weights": "bf16", "learning_rate": 5e-3}
    setup, prepared = Setup.of("houlsby", choices, 96), prepared_for(tiny_bart, tmp_path)
    train(TrainJob(prepared, setup, 1, str(tmp_path)), NullReporter())
    payload = {"prepared": prepared, "setup": setup.as_dict(), "seed": 1, "out": str(tmp_path)}
    assert reload(payload, NullReporter())["differing"] == 0
    assert answer({**payload, "name": "answers"}, NullReporter())["rows"] > 0


@pytest.mark.parametrize("model", ["tiny_t5", "tiny_bart"])
@pytest.mark.parametrize("name", list(methods()))
def test_a_method_trains_comes_back_and_writes_or_says_why_not(
    name: str, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base: Path = request.getfixturevalue(model)
    prepared, out = prepared_for(base, tmp_path), tmp_path / "out"
    out.mkdir()
    setup = Setup.of(name, {**get_method(name).prior(), "learning_rate": 5e-3}, 2000 if name == "full" else 96)
    refusal = REFUSED.get(name) or (REFUSED_BY_T5.get(name) if model == "tiny_t5" else None)
    if refusal is not None:
        with pytest.raises((SetupFailed, ValueError, LookupError), match=refusal):
            train(TrainJob(prepared, setup, 1, str(out)), NullReporter())
        return
    measured = train(TrainJob(prepared, setup, 1, str(out)), NullReporter())
    again = reload({"prepared": prepared, "setup": setup.as_dict(), "seed": 7, "out": str(out)}, NullReporter())
    assert again == {"rows": len(load_split(Path(prepared), "dev")), "differing": 0}
    write_card(
        {"prepared": prepared, "setup": setup.as_dict(), "columns": COLUMNS, "folder": str(out / "model")}, NullReporter()
    )
    card = json.loads((out / "model" / "peftcost.json").read_text())
    asks = KIND.read(table({"prompt": "aaa"}, {"prompt": "eeeee"}), {"prompt": "prompt"}, labelled=False)
    said = predict({"folder": str(out / "model"), "card": card, "examples": asks}, NullReporter())["rows"]
    if name == "full":
        assert measured["quality"] > -0.5
        assert [row["completion"] for row in said] == ["yes", "no"]
        answer(
            {"prepared": prepared, "setup": setup.as_dict(), "seed": 1, "out": str(out), "name": "answers"}, NullReporter()
        )
        assert np.load(out / "answers.npy")[:, 0].mean() > 0.9
    if name == "lora":
        assert json.loads((out / "model" / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
        with safe_open(out / "model" / "adapter_model.safetensors", "pt") as saved:
            adapted = {side for side in ("encoder", "decoder") for key in saved.keys() if f".{side}." in key}  # noqa: SIM118
        assert adapted == {"encoder", "decoder"}


def test_a_t5_whose_configuration_has_no_first_token(tiny_t5: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_t5, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({name: value for name, value in config.items() if name != "bos_token_id"}))
    assert KIND.padding(KIND.processor(str(model)))["decoder_start"] == config["decoder_start_token_id"]
