"""`peftcost plan` as people call it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from transformers import BertConfig, LlamaConfig, PretrainedConfig, ViTConfig

import peftcost
from peftcost.cli.plan_tables import plan_tables
from peftcost.core.setup import Scalar
from peftcost.planning import Plan, PlannedSetup
from peftcost.planning import plan as make_plan
from peftcost.planning.subject import kind_for
from peftcost.task.task import Task, load_task

BIN = Path(sys.executable).with_name("peftcost")


def plan(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN, "plan", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def config_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is no more than its config.json: four layers of Llama 2 7B."""
    folder = tmp_path_factory.mktemp("config-only")
    LlamaConfig(
        hidden_size=4096,
        num_hidden_layers=4,
        intermediate_size=11008,
        num_attention_heads=32,
        vocab_size=8000,
        max_position_embeddings=4096,
    ).save_pretrained(folder)
    return folder


def test_a_config_alone_is_enough(config_only: Path, tmp_path: Path) -> None:
    arguments = ("--model", str(config_only), "--device", "rtx4090", "--methods", "lora,nf4-lora", "--max-length", "512")
    done = plan(*arguments, "--batch-size", "64", "--budget", "4gpu-h", "--price", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    setups = {(s["method"], s["hyperparameters"]["rank"]): s for s in found["setups"]}
    lora, nf4 = setups["lora", 8], setups["nf4-lora", 8]
    for key in ("trainable_parameters", "peak_bytes", "flops_per_step", "seconds_per_step", "gpu_seconds", "price"):
        assert lora[key] > 0, key
    assert set(lora["parts"]) == {"weights", "gradients", "optimizer", "activations", "temporary"}
    assert lora["hyperparameters"]["precision"] == lora["hyperparameters"]["weights"] == "bf16"
    assert lora["parts"]["weights"] == pytest.approx(1.685e9, rel=0.05), "a frozen base is held in two bytes a parameter"
    assert not lora["fits"] and lora["would_fit_with"]["micro_batch_size"] < 64
    assert nf4["fits"] or nf4["would_fit_with"]
    assert nf4["parts"]["weights"] < 0.35 * lora["parts"]["weights"]
    assert set(found["buys"]["methods"]) == {"lora", "nf4-lora"}


def test_the_table_for_a_task_has_a_line_a_setup_in_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = plan("--task", "builtin:tweets", "--device", "t4", "--methods", "full,frozen", "--price", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    head, *rows = table_lines(done.stdout)
    assert head.split() == ["setup", "trained", "memory", "needs", "step", "epoch", "price", "fits"]
    assert [row.split("  ")[0].strip() for row in sorted(rows)] == ["frozen head only", "frozen top 2 layers", "full"]
    assert all(row.rstrip().endswith("yes") for row in rows)
    assert max(map(len, done.stdout.splitlines())) <= 80


def table_lines(text: str) -> list[str]:
    """The table's head and rows, without rules and blank lines."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.split()[:2] == ["setup", "trained"])
    end = next(at for at, line in enumerate(lines) if line.startswith("memory:"))
    return [line for line in lines[start:end] if line.strip(" ─")]


def test_what_makes_setups_fit_is_told_in_a_word_and_below_in_full() -> None:
    choices: dict[str, Scalar] = {"rank": 8, "micro_batch_size": 16}
    changes: dict[str, Scalar] = {"micro_batch_size": 4, "gradient_checkpointing": True}
    setups = [
        PlannedSetup("lora", choices, 10, 100, 10**9, 2 * 10**9, {}, 1e9, 0.1, 60.0, None, False, changes),
        PlannedSetup("full", choices, 100, 100, 10**11, 2 * 10**11, {}, 1e9, 0.1, 60.0, None, False, None),
    ]
    console = Console(width=80, file=io.StringIO(), color_system=None)
    for part in plan_tables(Plan("m", "t4", 16 * 10**9, 16, 128, 1000, setups, None), None):
        console.print(part)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lora, full = table_lines(text)[1:]
    assert lora.rstrip().endswith("4 a pass, ckpt")
    assert full.rstrip().endswith("no")
    assert "gradient checkpointing" in " ".join(text.split())


def test_a_budget_buys_what_a_search_of_the_task_would_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(
        subject: object, target: object, method: str, choices: dict[str, Scalar], price: float | None
    ) -> PlannedSetup:
        return PlannedSetup(method, choices, seconds_per_step=0.1, gpu_seconds=60.0, fits=True)

    monkeypatch.setattr(
        sys.modules["peftcost.planning.overview"], "planned", planned
    )  # estimating every method takes half a minute
    task = load_task("builtin:tweets").model_copy(update={"methods": ["frozen", "lora"]})
    found = make_plan(task, device="t4", budget="1gpu-h")
    assert found.buys is not None and sorted(found.buys["methods"]) == ["frozen", "lora"]
    assert "full" in {setup.method for setup in found.setups}


@pytest.mark.parametrize(
    ("config", "saved_as", "task"),
    [
        (LlamaConfig, "LlamaForCausalLM", "causal-lm"),
        (LlamaConfig, "LlamaModel", "text-classification"),
        (BertConfig, "BertForMaskedLM", "text-classification"),
        (ViTConfig, "ViTModel", "image-classification"),
    ],
)
def test_a_model_alone_is_planned_for_what_it_was_saved_as(config: type[PretrainedConfig], saved_as: str, task: str) -> None:
    assert kind_for(config(architectures=[saved_as])).name == task


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--device", "h10"], "Did you mean 'h100'"),
        (["--device", "h100", "--batch-size", "0"], "--batch-size 0"),
        (["--device", "h100", "--max-length", "5000"], "maximum of 4096"),
        (["--device", "h100", "--budget", "4gpuh"], "4gpu-h"),
        (["--device", "h100", "--methods", "lorra"], "Did you mean 'lora'"),
    ],
)
def test_bad_input(config_only: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    done = plan("--model", str(config_only), *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "says"), [('{"model_type": "nonsense"}', "no model that transformers can build"), ("{", "config.json")]
)
def test_configs_that_cannot_be_built(tmp_path: Path, config: str, says: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(config)
    done = plan("--model", str(folder), "--device", "t4", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr


def test_methods_that_the_model_cannot_take_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "resnet"}')
    done = plan("--model", str(folder), "--device", "t4", "--methods", "lora", cwd=tmp_path)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    assert "lora cannot" in done.stdout + done.stderr


def test_the_same_as_a_python_call(config_only: Path) -> None:
    for _ in range(2):  # the second call meets whatever the first one imported
        found = peftcost.plan(model=str(config_only), device="h100", methods=["frozen"], max_length=32, batch_size=1)
    assert found.setups[0].fits


def test_texts_of_full_length_leave_room_for_virtual_tokens(tmp_path: Path) -> None:
    done = plan("--model", "builtin:minilm", "--device", "t4", "--methods", "prompt,prefix,lora", "--max-length", "512",
                "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {s["method"]: s["reason"] for s in json.loads(done.stdout)["setups"]} == {
        "prompt": None, "prefix": None, "lora": None,
    }  # fmt: skip


def test_what_is_written_at_the_end_of_a_search_is_told_and_paid_for(
    tiny_chat_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [json.dumps({"prompt": f"What is {i}?", "completion": "It is so. " * (1 + i % 3)}) for i in range(100)]
    (tmp_path / "data.jsonl").write_text("\n".join(rows) + "\n")
    task = Task(model=str(tiny_chat_lm), task="causal-lm", data=str(tmp_path / "data.jsonl"), methods=["lora"])
    monkeypatch.setattr(sys.modules["peftcost.planning.overview"], "methods_named", lambda names: ["lora"])
    plenty, little = (make_plan(task, device="t4", budget=budget) for budget in ("1gpu-h", "60gpu-s"))
    assert plenty.writing is not None
    assert (plenty.writing.rows, plenty.writing.models, plenty.writing.new_tokens) == (20, 2, 31)
    assert 0 < plenty.writing.gpu_seconds < 60
    assert (plenty.buys or {})["methods"] == ["lora"]
    text = " ".join(str(part) for part in plan_tables(plenty, "1gpu-h"))
    assert "lets 2 models answer 20 test prompts, with up to 31 tokens each" in text
    monkeypatch.setattr(sys.modules["peftcost.planning.writing"], "KERNELS_A_LAYER", 10**7)
    dear = make_plan(task, device="t4", budget="60gpu-s")
    assert (little.buys or {})["methods"] == ["lora"] and (dear.buys or {})["methods"] == []


def test_of_other_tasks_nothing_is_written(config_only: Path) -> None:
    found = make_plan(model=str(config_only), device="h100", methods=["frozen"], max_length=32, batch_size=1)
    assert found.writing is None
