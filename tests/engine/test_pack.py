"""Several LoRA setups over one pass of the base train as each would alone. Without dropout: masks of one batch of all rows
are not those of k batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from quick_part import quick
from safetensors.torch import load_file
from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

from peftcost.core.measurement import Measurement
from peftcost.core.setup import Setup
from peftcost.engine.adapter_train_state import build_together
from peftcost.engine.checkpoint import newest_checkpoint
from peftcost.engine.dataset import load_dataset_info, load_split
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.messages import Measured, Message, Progress
from peftcost.engine.pack import CostAlone, Pack, batch_of
from peftcost.engine.packed_lora import PackedLora, keeps_rows_apart, packed
from peftcost.engine.prepare import prepare
from peftcost.engine.schedule import plan_steps
from peftcost.engine.sharing import can_share
from peftcost.engine.train import train
from peftcost.engine.train_pack import members_of, train_pack
from peftcost.engine.train_state import build
from peftcost.methods import get_method
from peftcost.task.task import Rows, load_task

ROWS, BATCH = 60, 8
"""An epoch ends with a batch of four."""
TOLERANCE = {"lora": 1e-5, "nf4-lora": 1e-5, "int8-lora": 2e-2}
"""Relative, of losses. LLM.int8() quantizes activations by row, so a last digit can become a whole step."""
KINDS: list[dict[str, Any]] = [
    {"rank": 4, "learning_rate": 2e-3},
    {"rank": 16, "learning_rate": 5e-4, "rslora": True},
    {"rank": 8, "learning_rate": 1e-3, "alpha_over_rank": 4, "weight_decay": 0.3},
    {"rank": 1, "learning_rate": 5e-3, "warmup_steps": 2},
    {"rank": 4, "learning_rate": 1e-3, "label_smoothing": 0.1},
    {"rank": 32, "learning_rate": 3e-4, "max_grad_norm": 0.1},
    {"rank": 2, "learning_rate": 1e-3, "cooldown_share": 0.0},
    {"rank": 8, "learning_rate": 1e-2, "max_grad_norm": None, "optimizer": "sgd"},
]
SEEDS = [3, 3, 4, 5, 3, 6, 4, 7]
STOPS = [96, 120, 64, 120, 96, 104, 80, 120]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def prepared_for(model: Path, task: str = "builtin:tweets") -> str:
    asked = load_task(task).model_copy(update={"model": str(model), "rows": Rows(train=ROWS, dev=30, test=20)})
    return str(prepare(prepare_payload(asked, 0, str(model), model.name), NullReporter())["prepared"])


@pytest.fixture(scope="module")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """Its head is made of several layers."""
    folder = tmp_path_factory.mktemp("tiny-roberta")
    config = RobertaConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=130,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    RobertaForSequenceClassification(config).roberta.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tweets(tiny_bert: Path) -> str:
    return prepared_for(tiny_bert)


def setup_of(stop: int = 64, method: str = "lora", **choices: Any) -> Setup:
    shared = {"dropout": 0.0, "batch_size": BATCH, "micro_batch_size": BATCH}
    return Setup.of(method, {**get_method(method).prior(), **shared, **choices}, stop)


def jobs_of(prepared: str, out: Path, setups: Sequence[Setup], seeds: Sequence[int] = SEEDS) -> list[TrainJob]:
    jobs = [
        TrainJob(prepared, one, seed, str(out / str(i))) for i, (one, seed) in enumerate(zip(setups, seeds, strict=False))
    ]
    for job in jobs:
        Path(job.out).mkdir(parents=True, exist_ok=True)
    return jobs


def together(jobs: Sequence[TrainJob]) -> list[dict[str, Any]]:
    return train_pack({"jobs": [job.as_dict() for job in jobs]}, NullReporter())["members"]


def elsewhere(jobs: Sequence[TrainJob], out: Path) -> list[TrainJob]:
    """The same jobs with other folders."""
    return jobs_of(jobs[0].prepared, out, [job.setup for job in jobs], [job.seed for job in jobs])


def pack_of(jobs: Sequence[TrainJob]) -> Pack:
    folder = Path(jobs[0].prepared)
    members = members_of(
        jobs, load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "dev"), NullReporter()
    )
    return Pack(members, CostAlone(1e-6))


def compare(job: TrainJob, alone: TrainJob, ours: dict[str, Any], theirs: dict[str, Any], rel: float) -> None:
    """Losses, weights, dev rows and checkpoints."""
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=rel)
    assert ours["dev_loss"] == pytest.approx(theirs["dev_loss"], rel=rel)
    rows, of_alone = (np.load(Path(one.out) / "dev_rows.npy")[:, :2] for one in (job, alone))
    assert (rows == of_alone).mean() >= 0.95
    for name in ("trainable_parameters", "total_parameters"):
        assert ours[name] == theirs[name]
    a, b = (load_file(Path(one.out) / "model" / "adapter_model.safetensors") for one in (job, alone))
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name] - b[name]).abs().max() <= 10 * rel * b[name].abs().max(), name
    left, right = (newest_checkpoint(Path(one.out) / "checkpoint") for one in (job, alone))
    assert left is not None
    assert right is not None
    assert left.facts["step"] == right.facts["step"]
    assert {name: t.shape for name, t in left.tensors.items()} == {name: t.shape for name, t in right.tensors.items()}


@pytest.fixture(scope="module")
def eight(tweets: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[TrainJob], list[dict[str, Any]]]:
    """Eight setups that differ in all that they may differ in, each trained alone."""
    setups = [setup_of(stop, **kind) for stop, kind in zip(STOPS, KINDS, strict=True)]
    jobs = jobs_of(tweets, tmp_path_factory.mktemp("alone"), setups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        return jobs, [train(job, NullReporter()) for job in jobs]


@pytest.mark.parametrize("k", quick(range(1, 9), 2, 8))
def test_k_setups_train_as_each_would_alone(
    eight: tuple[list[TrainJob], list[dict[str, Any]]], tmp_path: Path, k: int
) -> None:
    alone, results = (some[:k] for some in eight)
    jobs = elsewhere(alone, tmp_path)
    for job, other, outcome, result in zip(jobs, alone, together(jobs), results, strict=True):
        compare(job, other, outcome["result"], result, TOLERANCE["lora"])


@pytest.mark.parametrize("method", ["nf4-lora", "int8-lora"])
def test_a_quantized_base_is_shared(tweets: str, tmp_path: Path, method: str) -> None:
    kinds = [{"rank": 4, "learning_rate": 2e-3}, {"rank": 8, "learning_rate": 1e-3}, {"rank": 2, "learning_rate": 3e-3}]
    jobs = jobs_of(tweets, tmp_path / "packed", [setup_of(method=method, **kind) for kind in kinds])
    alone = elsewhere(jobs, tmp_path / "alone")
    for job, other, outcome in zip(jobs, alone, together(jobs), strict=True):
        compare(job, other, outcome["result"], train(other, NullReporter()), TOLERANCE[method])


@pytest.mark.parametrize("model", quick(["bert tags", "llama", "roberta"], "bert tags"))
def test_heads_and_tags(model: str, tiny_bert: Path, tiny_llama: Path, tiny_roberta: Path, tmp_path: Path) -> None:
    folder = {"bert tags": tiny_bert, "llama": tiny_llama, "roberta": tiny_roberta}[model]
    prepared = prepared_for(folder, "builtin:wnut16" if model == "bert tags" else "builtin:tweets")
    setups = [setup_of(stop, **kind) for stop, kind in zip(STOPS[:4], KINDS[:4], strict=True)]
    jobs = jobs_of(prepared, tmp_path / "packed", setups)
    alone = elsewhere(jobs, tmp_path / "alone")
    for job, other, outcome in zip(jobs, alone, together(jobs), strict=True):
        compare(job, other, outcome["result"], train(other, NullReporter()), TOLERANCE["lora"])


def test_in_mixed_precision(tweets: str, tmp_path: Path) -> None:
    jobs = jobs_of(tweets, tmp_path / "packed", [setup_of(precision="bf16", weights="bf16", **kind) for kind in KINDS[:3]])
    for other, outcome in zip(elsewhere(jobs, tmp_path / "alone"), together(jobs), strict=True):
        assert outcome["result"]["dev_loss"] == pytest.approx(train(other, NullReporter())["dev_loss"], rel=2e-3)


def test_layers_may_be_computed_again_in_the_backward_pass(tweets: str, tmp_path: Path) -> None:
    kinds = [{"rank": 4}, {"rank": 8, "learning_rate": 2e-3}]
    plain = together(jobs_of(tweets, tmp_path / "plain", [setup_of(**kind) for kind in kinds]))
    spared = together(jobs_of(tweets, tmp_path / "spared", [setup_of(gradient_checkpointing=True, **kind) for kind in kinds]))
    for one, other in zip(plain, spared, strict=True):
        assert other["result"]["dev_loss"] == pytest.approx(one["result"]["dev_loss"], rel=1e-5)


def test_upper_layers_over_a_frozen_prefix(tweets: str, tmp_path: Path) -> None:
    """The prefix is deterministic alone and in a pack, also where the model has dropout."""
    setups = [setup_of(top_layers=2, rank=rank) for rank in (4, 8)]
    jobs = jobs_of(tweets, tmp_path / "packed", setups)
    alone = elsewhere(jobs, tmp_path / "alone")
    for job, other, outcome in zip(jobs, alone, together(jobs), strict=True):
        compare(job, other, outcome["result"], train(other, NullReporter()), TOLERANCE["lora"])


def test_who_diverges_leaves_and_touches_nobody(tweets: str, tmp_path: Path) -> None:
    wild = setup_of(96, learning_rate=1e30, max_grad_norm=None, optimizer="sgd")
    jobs = jobs_of(tweets, tmp_path / "packed", [setup_of(96, rank=4), wild, setup_of(80, rank=8)])
    alone = elsewhere(jobs, tmp_path / "alone")
    first, second, third = together(jobs)
    assert "learning rate" in second["reason"]
    assert (second["fault"], (tmp_path / "packed" / "1" / "model").exists()) == ("setup", False)
    for i, outcome in ((0, first), (2, third)):
        compare(jobs[i], alone[i], outcome["result"], train(alone[i], NullReporter()), TOLERANCE["lora"])


def test_checkpoints_pass_between_packs_and_trainings_alone(tweets: str, tmp_path: Path) -> None:
    """A promoted lineage goes on alone after a pack, and in a pack after a training alone."""
    kinds = [{"rank": 4}, {"rank": 16, "learning_rate": 2e-3}]
    short, long = ([setup_of(stop, **kind) for kind in kinds] for stop in (64, 128))
    straight = [train(job, NullReporter()) for job in jobs_of(tweets, tmp_path / "straight", long)]
    packed_first = jobs_of(tweets, tmp_path / "packed first", short)
    together(packed_first)
    alone_first = jobs_of(tweets, tmp_path / "alone first", short)
    for job in alone_first:
        train(job, NullReporter())
    after_pack = [
        train(replace(job, parent=f"{before.out}/checkpoint"), NullReporter())
        for job, before in zip(jobs_of(tweets, tmp_path / "then alone", long), packed_first, strict=True)
    ]
    after_alone = together(
        [
            replace(job, parent=f"{before.out}/checkpoint")
            for job, before in zip(jobs_of(tweets, tmp_path / "then packed", long), alone_first, strict=True)
        ]
    )
    for one, other, whole in zip(after_pack, after_alone, straight, strict=True):
        for ended in (one, other["result"]):
            assert ended["dev_loss"] == pytest.approx(whole["dev_loss"], rel=1e-5)
            assert ended["train_loss"] == pytest.approx(whole["train_loss"], rel=1e-5)


def test_an_interrupted_pack_is_resumed(tweets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setups = [setup_of(64, rank=4), setup_of(96, rank=8)]
    straight = together(jobs_of(tweets, tmp_path / "straight", setups))
    jobs = [replace(job, checkpoint_seconds=0.0) for job in jobs_of(tweets, tmp_path / "cut", setups)]
    steps, original = [0], Pack.step

    def step(pack: Pack) -> None:
        steps[0] += 1
        if steps[0] == 5:
            raise KeyboardInterrupt
        original(pack)

    monkeypatch.setattr(Pack, "step", step)
    with pytest.raises(KeyboardInterrupt):
        together(jobs)
    assert (found := newest_checkpoint(tmp_path / "cut" / "0" / "checkpoint")) is not None
    assert found.facts["step"] == 4
    for again, whole in zip(together(jobs), straight, strict=True):
        assert again["result"]["dev_loss"] == pytest.approx(whole["result"]["dev_loss"], rel=1e-5)
        assert again["result"]["train_loss"] == pytest.approx(whole["result"]["train_loss"], rel=1e-5)


def test_members_begin_as_alone_and_lie_in_one_tensor(tweets: str) -> None:
    setups = [setup_of(rank=4), setup_of(rank=16), setup_of(rank=8)]
    info = load_dataset_info(Path(tweets))
    train_states = build_together(setups, [3, 4, 3], info, [8] * 3)
    for train_state, setup, seed in zip(train_states, setups, [3, 4, 3], strict=True):
        alone = build(setup, seed, info, 8).trained
        assert train_state.trained.keys() == alone.keys()
        assert all(torch.equal(p, alone[name]) for name, p in train_state.trained.items())
    plain = train_states[0].plain
    with packed(plain, [train_state.adapter for train_state in train_states]):
        layer = next(module for module in plain.modules() if isinstance(module, PackedLora))
        name = next(name for name in train_states[1].trained if "query.lora_B" in name)
        layer.b.data[1] += 1.0
        assert train_states[1].trained[name].min() == 1.0
        assert train_states[0].trained[name].abs().max() == 0.0
    assert not any(isinstance(module, PackedLora) for module in plain.modules())


def test_padding_stays_zero_under_weight_decay(tweets: str, tmp_path: Path) -> None:
    setups = [setup_of(rank=2, weight_decay=0.5), setup_of(rank=8, weight_decay=0.5)]
    pack = pack_of(jobs_of(tweets, tmp_path, setups))
    pack.model.train()
    with packed(pack.plain, [member.train_state.adapter for member in pack.members]):
        for _ in range(4):
            pack.step()
        layers = [module for module in pack.plain.modules() if isinstance(module, PackedLora)]
        assert all(layer.a[0, :2].any() and not layer.a[0, 2:].any() and not layer.b[0, 2:].any() for layer in layers)


def test_each_adapter_drops_out_at_its_own_rate(tweets: str, tmp_path: Path) -> None:
    setups = [setup_of(adapter_dropout=p) for p in (0.0, 0.5, 0.9)]
    pack = pack_of(jobs_of(tweets, tmp_path, setups))
    with packed(pack.plain, [member.train_state.adapter for member in pack.members]):
        layer = next(module for module in pack.plain.modules() if isinstance(module, PackedLora))
        assert layer.dropout is not None
        rows = layer._dropped(torch.ones(3, 500, layer.a.shape[2]), layer.dropout)
    assert torch.equal(rows[0], torch.ones_like(rows[0]))
    for group, p in zip(rows[1:], (0.5, 0.9), strict=True):
        assert float((group == 0).float().mean()) == pytest.approx(p, abs=0.02)
        assert float(group.mean()) == pytest.approx(1.0, abs=0.05)


def test_batches_stand_under_each_other_in_equal_groups(tweets: str) -> None:
    split, collator = load_split(Path(tweets), "train"), build(setup_of(), 0, load_dataset_info(Path(tweets)), 8).collator
    batch = batch_of(split, collator, [np.arange(8), np.arange(20, 24)], 8)
    assert torch.equal(batch.inputs["input_ids"][12], batch.inputs["input_ids"][8]), "filled up with copies of its first"
    assert batch.rows == 16
    assert (batch.targets[-4:] == -100).all()


def test_what_is_told_of_a_member(tweets: str, tmp_path: Path) -> None:
    class Listener(NullReporter):
        def __init__(self) -> None:
            self.messages: list[Message] = []
            self.losses: dict[int, list[list[float]]] = {}

        def send(self, message: Message) -> None:
            self.messages.append(message)

        def progress(self, progress: Progress) -> None:
            self.losses.setdefault(progress.member, []).extend(progress.losses)

    listener = Listener()
    jobs = jobs_of(tweets, tmp_path, [setup_of(96), setup_of(64, rank=4), setup_of(96, learning_rate=1e-4)])
    done = train_pack({"jobs": [job.as_dict() for job in jobs]}, listener)
    assert [m.member for m in listener.messages if isinstance(m, Measured)] == [1, 0, 2]
    assert len(listener.messages) == 3
    results = [Measurement(role="explore", **member["result"]) for member in done["members"]]
    assert [found.cost_basis for found in results] == ["measured", "imputed", "imputed"]
    assert all(found.gpu_seconds > 0 and math.isfinite(found.dev_loss) for found in results)
    assert results[0].gpu_seconds > results[1].gpu_seconds, "it trains longer"
    assert results[0].peak_bytes == results[2].peak_bytes > results[1].peak_bytes
    rows = len(load_split(Path(tweets), "train"))
    for member, job in enumerate(jobs):
        steps = plan_steps(job.setup, rows).total_steps
        assert [step for step, _ in listener.losses[member]] == list(range(1, steps + 1))
        assert all(math.isfinite(loss) and loss > 0 for _, loss in listener.losses[member])


def test_who_can_share() -> None:
    assert can_share([setup_of(**kind) for kind in KINDS]) is None
    others: dict[str, Setup] = {
        "DoRA": setup_of(dora=True),
        "fp16": setup_of(precision="fp16"),
        "micro": setup_of(micro_batch_size=4),
        "batch_size": setup_of(batch_size=4, micro_batch_size=4),
        "top_layers": setup_of(top_layers=2),
        "dropout": setup_of(dropout=0.1),
        "precision": setup_of(precision="bf16"),
        "different": setup_of(method="nf4-lora"),
        "no LoRA": setup_of(method="full"),
    }
    for word, other in others.items():
        assert word in (can_share([setup_of(), other]) or ""), word


def test_jobs_that_are_no_pack_are_refused(tweets: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="top_layers"):
        together(jobs_of(tweets, tmp_path, [setup_of(), setup_of(top_layers=2)]))


SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
BUCKETS = {"relative_attention": True, "position_buckets": 4, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}


@pytest.mark.parametrize(
    ("config", "apart"),
    [
        (transformers.BertConfig(**SMALL), True),
        (transformers.LlamaConfig(**SMALL, pad_token_id=0), True),
        (transformers.ModernBertConfig(**SMALL, pad_token_id=0), True),
        (transformers.DebertaV2Config(**SMALL, **BUCKETS), False),
        (transformers.LongformerConfig(**SMALL, attention_window=4), False),
        (transformers.XLNetConfig(vocab_size=50, d_model=16, n_layer=2, n_head=2, d_inner=16), False),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_bases_that_mix_the_rows_of_a_batch_are_known(config: transformers.PretrainedConfig, apart: bool) -> None:
    """DeBERTa projects relative positions, which belong to no row; the last two put tokens before rows."""
    torch.manual_seed(0)
    base = transformers.AutoModelForSequenceClassification.from_config(config)
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="SEQ_CLS")
    model = get_peft_model(base, lora, adapter_name="a")
    model.add_adapter("b", lora)
    ids = torch.arange(5, 21).reshape(2, 8)
    assert (
        keeps_rows_apart(model, ["a", "b"], lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits) == apart
    )
