"""Causal language models: which tokens count, by their text; shapes of files; cutting; metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import CHAT_TEMPLATE, byte_tokenizer
from conversing import KIND, TALK, counted, encoded, table, whole

from peftcost.core.setup import Setup
from peftcost.engine.answers import answer
from peftcost.engine.artifact import predict, reload, write_card
from peftcost.engine.dataset import load_split
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.train import train
from peftcost.errors import UserError
from peftcost.methods import get_method
from peftcost.task.columns import fit_columns, guess_columns
from peftcost.task.task import Task
from peftcost.tasks.base import IGNORED
from peftcost.tasks.targets import Tokens

SHARED = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}, {"from": "human", "value": "Bye"}]
STRIPS_THINKING = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + "
    "(m['content'].split('</think>')[-1] if not loop.last else m['content']) + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def test_every_reply_of_a_conversation_counts_with_its_end() -> None:
    split = encoded({"messages": TALK})
    assert counted(split) == "Hello!<|end|>|More. Hi<|end|>"
    assert whole(split).startswith("<|system|>\nBe kind.<|end|>\n<|user|>\nHi")


def test_of_a_pair_the_completion_counts_with_and_without_a_template() -> None:
    row = {"prompt": "What?", "completion": "That."}
    assert counted(encoded(row)) == "That.<|end|>"
    assert counted(encoded(row, None)) == "That.<|end|>"
    assert whole(encoded(row, None)) == "What?\nThat.<|end|>"


def test_without_a_template_a_conversation_names_its_speakers() -> None:
    split = encoded({"messages": TALK}, None)
    assert counted(split) == "Hello!<|end|>|More. Hi<|end|>"
    assert "User: Hi\nAssistant: Hello!<|end|>\nUser: And?" in whole(split)


def test_sharegpt_turns_are_read_and_what_follows_the_last_reply_is_left_out() -> None:
    split = encoded({"messages": SHARED})
    assert counted(split) == "Hello!<|end|>"
    assert "Bye" not in whole(split)


def test_of_an_instruction_the_output_counts_and_an_empty_input_leaves_no_trace() -> None:
    row = {"instruction": "Add.", "input": "1 and 1", "output": "2"}
    split = encoded(row)
    assert counted(split) == "2<|end|>"
    assert "Add.\n\n1 and 1" in whole(split)
    assert "Add.<|end|>" in whole(encoded({**row, "input": ""}))
    assert whole(encoded(row, None)) == "### Instruction:\nAdd.\n\n1 and 1\n\n### Response:\n2<|end|>"


def test_of_a_plain_text_all_counts_that_something_precedes() -> None:
    assert counted(encoded({"text": "Once upon"})) == "nce upon<|end|>"


def test_a_template_that_rewrites_earlier_turns_still_shows_the_replies() -> None:
    talk = [TALK[1], {"role": "assistant", "content": "<think>x</think>Hello!"}, TALK[3], TALK[4]]
    with pytest.raises(UserError, match=r"line 1.*turn 2"):
        encoded({"messages": talk}, STRIPS_THINKING)
    talk[1] = {"role": "assistant", "content": "Hello!"}
    assert counted(encoded({"messages": talk}, STRIPS_THINKING)) == "Hello!<|end|>|More. Hi<|end|>"


def test_a_template_that_refuses_a_turn_is_told_with_the_row() -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT_TEMPLATE
    with pytest.raises(UserError, match=r"line 1.*no system"):
        encoded({"messages": TALK}, template)


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, None])
def test_replies_that_are_not_to_be_learnt_do_not_count(template: str | None) -> None:
    first, last = TALK[2], TALK[4]
    of_weight = [*TALK[:2], {**first, "weight": 0}, TALK[3], {**last, "weight": 1}]
    of_prompt = {"prompt": TALK[:4], "completion": [last]}
    for row in ({"messages": of_weight}, of_prompt, {**of_prompt, "completion": last["content"]}):
        split = encoded(row, template)
        assert "Hello!" in whole(split)
        assert counted(split).startswith("More. Hi") and "Hello!" not in counted(split)
    with pytest.raises(UserError, match="nothing to learn"):
        encoded({"messages": [*TALK[:2], {**first, "weight": 0}]}, template)


def test_a_system_turn_that_says_nothing_stands_there() -> None:
    split = encoded({"messages": [{"role": "system", "content": ""}, *TALK[1:3]]})
    assert whole(split).startswith("<|system|>\n<|end|>\n<|user|>\nHi")


def test_the_column_of_system_texts_is_the_system_turn() -> None:
    for row in ({"messages": SHARED}, {"prompt": "Hi", "completion": "Hello!"}, {"instruction": "Hi", "output": "Hello!"}):
        split = encoded({"system": "Be a pirate.", **row})
        assert whole(split).startswith("<|system|>\nBe a pirate.<|end|>\n<|user|>\nHi<|end|>")
        assert counted(split) == "Hello!<|end|>"
        for blank in ("", None):
            assert whole(encoded({"system": blank, **row})) == whole(encoded(row))
    assert whole(encoded({"system": TALK[0]["content"], "messages": TALK})) == whole(encoded({"messages": TALK}))
    assert whole(encoded({"system": "Be.", "prompt": "Hi", "completion": "So."}, None)) == "Be.\nHi\nSo.<|end|>"


@pytest.mark.parametrize("max_length", [4, 8, 20, 40])
def test_cutting_leaves_targets_and_takes_the_beginning_first(max_length: int) -> None:
    for row in ({"messages": TALK}, {"prompt": "w " * 100, "completion": "Yes."}, {"prompt": "Why", "completion": "z" * 300}):
        split = encoded(row, max_length=max_length)
        assert split.lengths[0] <= max_length
        assert counted(split)
    short = encoded({"prompt": "w " * 100, "completion": "Yes."}, max_length=20)
    assert counted(short) == "Yes.<|end|>"
    long = encoded({"prompt": "Why", "completion": "z" * 300}, max_length=20)
    assert counted(long) == "z" * 15


def test_a_batch_cut_further_keeps_its_targets_and_counts_them() -> None:
    """Virtual tokens take their room from the inputs."""
    split = encoded({"prompt": "w " * 40, "completion": "Yes."})
    padding = KIND.padding(byte_tokenizer(None))
    batch = KIND.collate(split, np.array([0]), padding, 12)
    assert batch.inputs["input_ids"].shape == (1, 12)
    assert int((batch.targets[:, 1:] != IGNORED).sum()) == KIND.target_counts(split, 12)[0] == 5


def test_unusable_rows_are_told_with_their_place() -> None:
    for value, why in (
        ([{"role": "user", "content": "Hi"}], "says nothing"),
        ([{"role": "nobody", "content": "Hi"}], "nobody"),
        ([{"role": "user", "content": ""}], "empty"),
        ([{"role": "assistant", "content": None}], "turn 1: the text is missing"),
        ([{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}], "turn 1, tool_calls: expected"),
        ([{"role": "assistant", "content": None, "function_call": {"id": "1"}}], "turn 1, function_call: expected"),
        ("text", "list of turns"),
        (None, "missing"),
    ):
        with pytest.raises(UserError, match=f"data.jsonl, line 1, column 'messages'.*{why}"):
            KIND.read(table({"messages": value}), {"messages": "messages"})


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"question": "a", "answer": "b"}, {"prompt": "question", "completion": "answer"}),
        ({"id": 1, "conversations": SHARED}, {"messages": "conversations"}),
        (
            {"instruction": "a", "input": "", "output": "b"},
            {"instruction": "instruction", "input": "input", "output": "output"},
        ),
        ({"Instruction": "a", "Output": "b"}, {"instruction": "Instruction", "output": "Output"}),
        (
            {"instruction": "a", "context": "", "response": "b", "category": "qa"},
            {"instruction": "instruction", "input": "context", "output": "response"},
        ),
        ({"instruction": "a", "prompt": "b", "response": "c"}, {"prompt": "prompt", "completion": "response"}),
        ({"input": "a", "output": "b", "id": 1}, {"prompt": "input", "completion": "output"}),
        ({"text": "a"}, {"text": "text"}),
        ({"conversations": SHARED, "system": "Be."}, {"system": "system", "messages": "conversations"}),
        ({"conversations": SHARED, "system": ""}, {"messages": "conversations"}),
        (
            {"id": 1, "system_prompt": "Be.", "question": "a", "response": "b"},
            {"system": "system_prompt", "prompt": "question", "completion": "response"},
        ),
    ],
)
def test_known_columns_are_guessed(row: dict[str, Any], columns: dict[str, str]) -> None:
    kind, found = guess_columns(table(row), None)
    assert (kind.name, found) == ("causal-lm", columns)


def test_inputs_with_outputs_that_repeat_may_have_classes() -> None:
    judged = table(*({"input": f"text {i}", "output": "yes" if i % 2 else "no"} for i in range(8)))
    with pytest.raises(UserError, match="does not show which column is the label"):
        guess_columns(judged, None)
    assert guess_columns(judged, "output")[0].name == "text-classification"


@pytest.mark.parametrize("speaker", ["role", "speaker"])
@pytest.mark.parametrize("said", ["text", "content"])
def test_turns_are_read_whatever_they_call_speaker_and_text(speaker: str, said: str) -> None:
    row = {"messages": [{speaker: "User", said: "Hi"}, {speaker: "AI", said: "Hello!"}]}
    assert counted(encoded(row)) == "Hello!<|end|>"
    assert guess_columns(table({"turns": row["messages"]}), None)[1] == {"messages": "turns"}


def test_a_text_with_its_label_is_a_class_whatever_stands_beside() -> None:
    for beside in ("3", "room 1", 7, SHARED):
        judged = table(*({"text": f"a text {i}", "label": "ab"[i % 2], "turns": beside} for i in range(8)))
        assert guess_columns(judged, None)[0].name == "text-classification"
    assert guess_columns(table({"messages": SHARED, "label": "good"}), None)[1] == {"messages": "messages"}


@pytest.mark.parametrize("odd", [[], [{"role": "system", "content": "Be."}], None, "oops", [{"role": "user"}]])
def test_an_odd_first_row_is_named_and_changes_no_column(odd: Any) -> None:
    talks = table({"messages": odd}, *({"messages": SHARED} for _ in range(3)))
    kind, columns = guess_columns(talks, None)
    assert columns == {"messages": "messages"}
    with pytest.raises(UserError, match="line 1, column 'messages'"):
        kind.read(talks, columns)
    preferred = table({"chosen": odd, "rejected": SHARED}, *({"chosen": SHARED, "rejected": SHARED} for _ in range(3)))
    with pytest.raises(UserError, match="columns: {messages: chosen}"):
        guess_columns(preferred, None)


ASKED = [{"role": "user", "content": "Hi"}]
SAID = [{"role": "assistant", "content": "Hello!"}]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}, "{prompt: prompt, completion: chosen}"),
        ({"prompt": ASKED, "chosen": SAID, "rejected": SAID}, "{prompt: prompt, completion: chosen}"),
        ({"prompt": "Hi", "chosen": ASKED + SAID, "rejected": ASKED + SAID}, "{messages: chosen}"),
        ({"chosen": ASKED + SAID, "rejected": ASKED + SAID}, "{messages: chosen}"),
        ({"chosen": "Hi Hello!", "rejected": "Hi No."}, "{text: chosen}"),
        (
            {"input": {"messages": ASKED, "tools": []}, "preferred_output": SAID, "non_preferred_output": SAID},
            "{prompt: input, completion: preferred_output}",
        ),
    ],
)
def test_preferences_are_refused_with_the_columns_of_the_chosen_side(row: dict[str, Any], columns: str) -> None:
    with pytest.raises(UserError, match="preference data for DPO or reward models") as raised:
        guess_columns(table(row), None)
    assert f"`columns: {columns}`" in str(raised.value)
    for task in (None, "causal-lm"):
        with pytest.raises(UserError) as by_hand:
            fit_columns(table(row), task, None)
        assert str(by_hand.value) == str(raised.value)
    examples = KIND.read(table(row), yaml.safe_load(columns))
    assert "Hello!" in counted(KIND.encode(byte_tokenizer(CHAT_TEMPLATE), examples, Tokens(), 200))


@pytest.mark.parametrize("verdicts", [(True, False), ("True", "False"), (False, False)])
def test_conversations_of_which_some_are_bad_are_not_learnt_unasked(verdicts: tuple[Any, Any]) -> None:
    talks = table(*({"messages": SHARED, "label": verdict} for verdict in verdicts))
    with pytest.raises(UserError, match="'label'.*as for KTO.*columns: {messages: messages}"):
        guess_columns(talks, None)
    assert fit_columns(talks, "causal-lm", {"messages": "messages"})[1] == {"messages": "messages"}


def test_a_file_with_labels_is_no_file_of_plain_texts() -> None:
    assert fit_columns(table({"text": "a", "label": "b"}), None, None)[0].name == "text-classification"
    assert guess_columns(table({"text": "a", "label": "b"}), None)[0].name == "text-classification"


def test_unlabelled_rows_end_where_the_model_is_to_speak() -> None:
    tokenizer = byte_tokenizer(CHAT_TEMPLATE)
    for row, end in (
        ({"messages": TALK}, "And?<|end|>\n<|assistant|>\n"),
        ({"messages": SHARED}, "Bye<|end|>\n<|assistant|>\n"),
        ({"prompt": "Why?"}, "Why?<|end|>\n<|assistant|>\n"),
        ({"text": "Once"}, "Once"),
    ):
        examples = KIND.read(table(row), {name: name for name in row}, labelled=False)
        split = KIND.encode(tokenizer, examples, None, 200)
        assert whole(split).endswith(end)
        assert not counted(split)


def test_a_reply_to_nothing_asks_for_nothing() -> None:
    row = {"messages": [{"role": "assistant", "content": "Hi"}]}
    with pytest.raises(UserError, match="only the assistant says something, so nothing is asked"):
        KIND.read(table(row), {"messages": "messages"}, labelled=False)


def test_a_prompt_is_coded_alike_to_train_and_to_generate() -> None:
    for template in (CHAT_TEMPLATE, None):
        for row in ({"prompt": "Why?", "completion": "So."}, {"messages": TALK}, {"instruction": "Do", "output": "Done"}):
            tokenizer = byte_tokenizer(template)
            asked = KIND.encode(
                tokenizer, KIND.read(table(row), {n: n for n in row if n not in ("completion", "output")}, False), None, 200
            )
            told = encoded(row, template)
            n = int(asked.lengths[0])
            assert asked.columns["input_ids"][0].tolist() == told.columns["input_ids"][0][:n].tolist()
            assert told.columns["targets"][0][n] != IGNORED


def test_loss_and_rows_are_those_of_the_counted_tokens(tiny_chat_lm: Path) -> None:
    """Against transformers' own loss."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_chat_lm).eval()
    split = encoded({"messages": TALK})
    batch = KIND.collate(split, np.array([0]), KIND.padding(byte_tokenizer(None)), 200, width=120)
    with torch.no_grad():
        logits = model(**batch.inputs).logits
        mean = float(model(**batch.inputs, labels=batch.targets).loss)
    loss, n = KIND.loss(logits, batch)
    assert int(n) == len("Hello!") + len("More. Hi") + 2
    assert float(loss) / int(n) == pytest.approx(mean, rel=1e-5)
    rows = KIND.predict(logits, batch, Tokens())
    assert rows[0, :2] == pytest.approx((float(loss), int(n)), rel=1e-5)
    weights = np.ones((1, 1))
    assert KIND.metrics["negative_loss"].compute(rows, weights)[0] == pytest.approx(-mean, rel=1e-5)
    assert 0 <= KIND.metrics["token_accuracy"].compute(rows, weights)[0] <= 1


def test_long_examples_weigh_by_their_tokens() -> None:
    rows = np.array([[8.0, 2, 1], [2.0, 8, 8]])
    assert KIND.metrics["negative_loss"].compute(rows, np.array([[1, 1], [2, 0]])).tolist() == [-1.0, -4.0]
    assert KIND.metrics["token_accuracy"].compute(rows, np.ones((1, 2))).tolist() == [0.9]


@pytest.mark.parametrize(("method", "rate", "reached"), [("full", 5e-3, -1.0), ("lora", 2e-2, -5.3)])
def test_it_trains_comes_back_and_answers(
    tiny_chat_lm: Path, tmp_path: Path, method: str, rate: float, reached: float
) -> None:
    """From a file to answers, from a quality of -5.6: 260 tokens that are equally likely. Random frozen embeddings, which
    are the head too, leave LoRA little to reach."""
    pairs = [(letter * n, "yes" if letter in "abc" else "no") for letter in "abcdef" for n in range(1, 21)]
    lines = [json.dumps({"question": question, "answer": answer}) for question, answer in pairs]
    (tmp_path / "data.jsonl").write_text("\n".join(lines) + "\n")
    columns = {"prompt": "question", "completion": "answer"}
    task = Task(model=str(tiny_chat_lm), task="causal-lm", data=str(tmp_path / "data.jsonl"), columns=columns)
    prepared = str(prepare(prepare_payload(task, 0, str(tiny_chat_lm), "tiny"), NullReporter())["prepared"])
    out = tmp_path / "out"
    out.mkdir()
    setup = Setup.of(method, {**get_method(method).prior(), "learning_rate": rate}, 4000)
    measured = train(TrainJob(prepared, setup, 1, str(out)), NullReporter())
    assert measured["quality"] > reached
    again = reload({"prepared": prepared, "setup": setup.as_dict(), "seed": 7, "out": str(out)}, NullReporter())
    assert again == {"rows": len(load_split(Path(prepared), "dev")), "differing": 0}
    card = {"prepared": prepared, "setup": setup.as_dict(), "columns": columns, "folder": str(out / "model")}
    write_card(card, NullReporter())
    written = json.loads((out / "model" / "peftcost.json").read_text())
    asks = KIND.read(table({"question": "aaa"}, {"question": "eeeee"}), {"prompt": "question"}, labelled=False)
    said = predict({"folder": str(out / "model"), "card": written, "examples": asks}, NullReporter())["rows"]
    assert len(said) == 2
    if method == "full":
        assert {row["completion"] for row in said} <= {"yes", "no"}, "it says what it has learnt to, and ends"
        trained, untuned = (
            answers(prepared, out if given else tmp_path / "baselines", given and setup.as_dict()) for given in (True, None)
        )
        assert trained["exact_match"] > 0.8
        assert untuned["exact_match"] == 0


def answers(prepared: str, out: Path, setup: dict[str, Any] | None) -> dict[str, float]:
    """What a model writes for the prompts of test, scored; the file shows the same texts."""
    answer({"prepared": prepared, "setup": setup, "seed": 1, "out": str(out), "name": "answers"}, NullReporter())
    rows, shown = np.load(out / "answers.npy"), (out / "answers.jsonl").read_text().splitlines()
    texts = [json.loads(line) for line in shown]
    assert len(texts) == len(rows) == len(load_split(Path(prepared), "test"))
    assert rows[:, 0].tolist() == [float(one["written"] == one["reference"]) for one in texts]
    return {name: float(m.compute(rows, np.ones((1, len(rows))))[0]) for name, m in KIND.written_metrics.items()}
