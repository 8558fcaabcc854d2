"""`peftcost check`: what it tells of a file before anything is spent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from peftcost.cli.commands.check import lines_of
from peftcost.errors import UserError
from peftcost.task.draft import draft_task_yaml
from peftcost.task.examine import Checked, examine
from peftcost.task.task import DataFiles, Rows, Shares, Task, load_task

ROWS = [f"text number {i} about things,{'good' if i % 2 else 'bad'}" for i in range(60)]


def check(folder: Path, *arguments: str, lines: list[str] = ROWS) -> subprocess.CompletedProcess[str]:
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "peftcost", "check", "reviews.csv", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_rows_shares_and_classes_are_told(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("text-classification: text = 'text', label = 'label'; metric accuracy")
    for told in ("50.0%  the rest of reviews.csv", "30.0%  split off from reviews.csv", "good ", "Nothing is wrong"):
        assert told in done.stdout


def test_a_part_of_the_rows_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join(ROWS))
    (tmp_path / "others.csv").write_text("text,label\n" + "\n".join(row.replace("text", "word") for row in ROWS))
    rows, own = Rows(train=10, dev=5), {"train": str(tmp_path / "reviews.csv"), "dev": str(tmp_path / "others.csv")}
    told = lines_of(found := examine(Task(model="builtin:minilm", data=DataFiles(**own), rows=rows)))
    assert told[2].split("%  ")[1] == "the rest of reviews.csv"
    assert [line[:22] for line in told[2:5]] == ["train  10 of 48 rows  ", "dev     5 of 60 rows  ", "test         12 rows  "]
    assert [line.split("%  ")[1] for line in told[3:5]] == ["its own file", "split off from reviews.csv"]
    assert (found.rows, found.whole, found.asked["test"]) == (
        {"train": 10, "dev": 5, "test": 12},
        {"train": 48, "dev": 60, "test": 12},
        12,
    )


def ordered(folder: Path, users: int, **how: Any) -> Task:
    """A task of ROWS by several users over some days."""
    rows = [f"{row},u{i % users},2024-01-{1 + i // 3:02}" for i, row in enumerate(ROWS)]
    (folder / "reviews.csv").write_text("text,label,user,day\n" + "\n".join(rows))
    columns: dict[str, Any] = {"text": "text", "label": "label"}
    return Task(model="builtin:minilm", data=str(folder / "reviews.csv"), columns=columns, **how)


def test_by_what_rows_are_split_is_told_and_why_nothing_is_left(tmp_path: Path) -> None:
    told = lines_of(found := examine(ordered(tmp_path, 20, group="user", splits=Shares(dev=0.17, test=0.17))))
    assert found.whole["test"] != found.asked["test"] == 10
    assert "split by group ('user'): each stays whole" in told
    assert any(re.fullmatch(r"so sizes differ from those asked for \(.*test 10.* rows\)", line) for line in told)
    told = lines_of(examine(ordered(tmp_path, 20, time="day")))
    assert "split by time ('day'): the latest rows are test, then dev" in told
    assert not any("differ" in line for line in told)
    with pytest.raises(UserError, match="none before them may share a 'user' with them; leave out `group` or `time`"):
        examine(ordered(tmp_path, 3, group="user", time="day"))
    with pytest.raises(UserError, match="dev split, since rows of the same 'user' stay together.* larger share"):
        examine(ordered(tmp_path, 3, group="user", splits=Shares(dev=0.1, test=0.1)))


def test_an_odd_flag_is_told_as_by_init(tmp_path: Path) -> None:
    rows = [f"text {i},{i % 2},{2 if i == 7 else i // 3 % 2},{i // 2 % 2}" for i in range(60)]
    (tmp_path / "flags.csv").write_text("text,fun,odd,sad\n" + "\n".join(rows))
    warnings = examine(load_task(tmp_path / "flags.csv")).warnings
    assert [warning for warning in warnings if "'odd' is not taken for a label, since it holds '2'" in warning]
    assert "'odd' is not taken for a label" in draft_task_yaml(tmp_path / "flags.csv")


def test_columns_that_play_no_role_are_told(tmp_path: Path) -> None:
    (tmp_path / "titles.csv").write_text("title,text,label\n" + "".join(f"Title {i},{row}\n" for i, row in enumerate(ROWS)))
    task = Task(model="builtin:minilm", data=str(tmp_path / "titles.csv"), columns={"text": "text", "label": "label"})
    found = examine(task)
    assert found.unused == ["title"]
    assert lines_of(found)[1] == "Not used: 'title'"


def test_a_bad_row_is_an_error_or_is_listed(tmp_path: Path) -> None:
    lines = [*ROWS[:5], "no label", *ROWS[5:], ",good"]
    done = check(tmp_path, lines=lines)
    assert (done.returncode, "line 7" in done.stderr) == (2, True)
    done = check(tmp_path, "--skip-bad-rows", "--json", lines=lines)
    found = json.loads(done.stdout)
    assert sum(found["rows"].values()) == 60
    assert ["line 7" in found["rejected"][0], "line 63" in found["rejected"][1], len(found["rejected"])] == [True, True, 2]


def test_bad_rows_are_told_in_their_order(tmp_path: Path) -> None:
    done = check(tmp_path, "--skip-bad-rows", "--json", lines=[ROWS[0], ",good", "a,b,c", *ROWS[1:], ",good"])
    places = [re.search(r"line \d+", told) for told in json.loads(done.stdout)["rejected"]]
    assert [place and place[0] for place in places] == ["line 3", "line 4", "line 64"]


def test_a_language_that_the_base_does_not_know_is_told(tmp_path: Path) -> None:
    assert json.loads(check(tmp_path, "--json").stdout)["tokens"]["unknown"] == {"Latin": 0.0}
    chinese = [f"我非常喜欢这个酒店的早餐和服务 {i},{'good' if i % 2 else 'bad'}" for i in range(60)]
    found = json.loads(check(tmp_path, "--json", lines=chinese).stdout)
    assert found["tokens"]["unknown"]["CJK"] > 0.5
    assert any("CJK" in warning and "multilingual" in warning for warning in found["warnings"])


def test_texts_that_are_cut_are_told(tmp_path: Path) -> None:
    found = json.loads(check(tmp_path, "--json", lines=[line.replace(",", " word" * 600 + ",") for line in ROWS]).stdout)
    assert found["tokens"]["cut"] == 1.0
    assert any("cut there" in warning for warning in found["warnings"])


PAIRS = [{"prompt": f"what is {i:02}?", "completion": f"number {i:02} " * (1 + i % 20)} for i in range(60)]
"""Replies are from 10 to 200 characters long."""


def looked_at(model: Path, folder: Path, rows: list[dict[str, Any]], max_length: int | None = None) -> Checked:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return examine(Task(model=str(model), data=str(folder / "rows.jsonl"), max_length=max_length))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "reformer", "axial_pos_shape": [4, 8]}, "inputs of 32 tokens alone: each text is filled up"),
        ({"model_type": "reformer", "axial_pos_shape": [512, 1024]}, "524288 tokens alone, .* choose another base"),
        ({"model_type": "nystromformer", "segment_means_seq_len": 512}, "no mask for a Nystromformer .* another base"),
    ],
)
def test_a_base_that_does_not_take_just_any_length_is_told(
    config: dict[str, Any], told: str, tiny_bert: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    (model / "config.json").write_text(json.dumps(config))
    rows = [{"text": f"the {i}", "label": "ab"[i % 2]} for i in range(60)]
    assert [bool(re.search(told, warning)) for warning in looked_at(model, tmp_path, rows).warnings] == [True]


def test_prompt_and_completion_are_measured_together_as_the_template_writes_them(tiny_chat_lm: Path, tmp_path: Path) -> None:
    found = looked_at(tiny_chat_lm, tmp_path, PAIRS, max_length=60)
    assert found.tokens is not None
    assert found.tokens.longest > 200, "the prompts have 11 characters, the completions up to 200"
    assert found.tokens.cut > 0.5
    assert any("are longer than 60 tokens and are cut" in warning for warning in found.warnings)
    assert any(line.startswith("tokens a row, prompt and completion together: median") for line in lines_of(found))


def test_of_prompt_and_completion_the_longer_one_is_measured_where_each_is_cut(tiny_t5: Path, tmp_path: Path) -> None:
    found = looked_at(tiny_t5, tmp_path, PAIRS)
    assert found.tokens is not None
    assert 190 <= found.tokens.longest <= 202
    assert any(line.startswith("tokens of a prompt or its completion") for line in lines_of(found))


@pytest.mark.parametrize("tools", [None, [{"name": "add", "description": "Adds.", "parameters": {}}]])
def test_a_base_that_does_not_write_tools_is_told(tools: Any, tiny_chat_lm: Path, tmp_path: Path) -> None:
    found = looked_at(tiny_chat_lm, tmp_path, [{**pair, "tools": tools} for pair in PAIRS])
    assert found.tokens is not None
    said = [warning for warning in found.warnings if "no chat template that writes `tools`" in warning]
    assert len(said) == (tools is not None)
    assert all(warning.startswith(f"{tiny_chat_lm} cannot be trained on these rows: ") for warning in said)
