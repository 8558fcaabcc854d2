"""Nothing that the engine saves may change a number: cached, bucketed and fused training is the naive one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick_part import quick
from transformers import AutoModelForSequenceClassification, DebertaV2Config, ElectraConfig, PretrainedConfig

from peftcost.core.setup import Setup
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.dataset import batches_from, load_dataset_info, load_split
from peftcost.engine.frozen_layers import cut
from peftcost.engine.job import NullReporter, TrainJob, prepare_payload
from peftcost.engine.prepare import prepare
from peftcost.engine.schedule import plan_steps
from peftcost.engine.source import share
from peftcost.engine.train import Loop, train
from peftcost.engine.train_state import TrainState, build, made_trainable
from peftcost.methods import get_method, methods
from peftcost.methods.layers import transformer_layers
from peftcost.task.task import Rows, load_task
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes

ROWS, STOP = 96, 224
WIDTH = 40
"""What the naive way pads every batch to."""
TOLERANCE = {"int8": 2e-2, "nf4": 2e-4, None: 2e-4}
"""Relative, of each loss in fp32. LLM.int8() quantizes activations by row, so a last digit can become a whole step."""


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture(scope="module")
def prepared(tiny_bert: Path) -> str:
    return prepared_for(tiny_bert)


def prepared_for(model: Path) -> str:
    rows = Rows(train=ROWS, dev=40, test=40)
    task = load_task("builtin:tweets").model_copy(update={"model": str(model), "rows": rows, "max_length": WIDTH})
    return str(prepare(prepare_payload(task, 0, str(model), model.name), NullReporter())["prepared"])


class Recorded(Loop):
    """Keeps every step's loss."""

    read_losses: list[float]

    def _look(self, losses: list[torch.Tensor]) -> None:
        self.read_losses = [*getattr(self, "read_losses", []), *map(float, losses)]
        super()._look(losses)


def setup_of(method: str, top_layers: int | None, **choices: Any) -> Setup:
    prior = get_method(method).prior()
    placed = {"top_layers": top_layers} if "top_layers" in prior else {}
    return Setup.of(method, {**prior, **placed, "dropout": 0.0, "learning_rate": 1e-3, **choices}, STOP)


def loop_of(prepared: str, setup: Setup, out: Path, checkpoint_seconds: float = 60.0) -> Recorded:
    folder = Path(prepared)
    info, split, dev = load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "dev")
    plan = plan_steps(setup, len(split))
    train_state = build(setup, 5, info, plan.total_steps)
    out.mkdir(parents=True, exist_ok=True)
    return Recorded(
        TrainJob(prepared, setup, 5, str(out), checkpoint_seconds=checkpoint_seconds),
        NullReporter(),
        train_state,
        split,
        dev,
        plan,
    )


def curve(prepared: str, setup: Setup, out: Path) -> list[float]:
    """As the engine trains, with what it shares."""
    loop = loop_of(prepared, setup, out)
    loop.share_activations()
    loop.run()
    return loop.read_losses


def naive_curve(prepared: str, setup: Setup) -> list[float]:
    """A plain loop: the whole model on rows padded to the same width, one step after another, unfused AdamW."""
    folder, choices, method = Path(prepared), setup.hyperparameters, get_method(setup.method)
    info, split = load_dataset_info(folder), load_split(folder, "train")
    plan = plan_steps(setup, len(split))
    base = load_base(BaseSpec.of(info, method, {}), 5)
    torch.manual_seed(5)
    model = made_trainable(base, method, choices, plan.total_steps).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": choices["weight_decay"]},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        fused=False,
        foreach=False,
    )
    losses = []
    for step, indices in zip(range(plan.total_steps), batches_from(split.lengths, 16, 5, 0), strict=False):
        ids = torch.full((len(indices), WIDTH), info.padding["input_ids"])
        for row, index in enumerate(indices):
            tokens = torch.from_numpy(split.columns["input_ids"][int(index)].astype(np.int64))
            ids[row, : len(tokens)] = tokens
        targets = torch.tensor([int(split.columns["targets"][int(i)]) for i in indices])
        logits = model(input_ids=ids, attention_mask=(ids != info.padding["input_ids"]).long()).logits
        loss = torch.nn.functional.cross_entropy(logits, targets)
        penalty = method.penalty(model)
        (loss if penalty is None else loss + penalty).backward()
        torch.nn.utils.clip_grad_norm_(trained, float(choices["max_grad_norm"] or math.inf))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * plan.rate_factor(step)
        optimizer.step()
        method.after_step(model, step)
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("top_layers", [None, 1])
@pytest.mark.parametrize(
    "name", quick([name for name in methods() if name != "frozen"], "full", "lora", "adalora", "nf4-lora")
)
def test_every_method_trains_as_the_naive_way_does(prepared: str, tmp_path: Path, name: str, top_layers: int | None) -> None:
    setup = setup_of(name, top_layers)
    naive, tolerance = naive_curve(prepared, setup), TOLERANCE[get_method(name).quantization]
    for run in ("computing", "reading"):
        assert curve(prepared, setup, tmp_path / run) == pytest.approx(naive, rel=tolerance), run


@pytest.mark.parametrize("top_layers", [0, 1, 2])
def test_a_frozen_base_trains_as_the_naive_way_does(prepared: str, tmp_path: Path, top_layers: int) -> None:
    setup = setup_of("frozen", top_layers)
    naive = naive_curve(prepared, setup)
    for run in ("computing", "reading"):
        assert curve(prepared, setup, tmp_path / run) == pytest.approx(naive, rel=TOLERANCE[None]), run


@pytest.mark.parametrize("name", ["frozen", "lora"])
def test_bf16_ends_with_the_same_quality_within_its_noise(prepared: str, tmp_path: Path, name: str) -> None:
    setup = setup_of(name, 1, precision="bf16")
    live = loop_of(prepared, setup, tmp_path / "live")
    live.run()
    curve(prepared, setup, tmp_path / "computing")
    assert curve(prepared, setup, tmp_path / "reading") == pytest.approx(live.read_losses, rel=2e-2)


def test_the_real_model_works_in_halves(minilm: Path, tmp_path: Path) -> None:
    setup = setup_of("lora", 2)
    prepared = prepared_for(minilm)
    short = Setup(setup.method, setup.hyperparameters, 64)
    naive = naive_curve(prepared, short)
    for run in ("computing", "reading"):
        assert curve(prepared, short, tmp_path / run) == pytest.approx(naive, rel=TOLERANCE[None]), run


def test_a_decoder_works_in_halves(tiny_llama: Path, tmp_path: Path) -> None:
    setup = setup_of("lora", 1)
    prepared = prepared_for(tiny_llama)
    naive = naive_curve(prepared, setup)
    for run in ("computing", "reading"):
        assert curve(prepared, setup, tmp_path / run) == pytest.approx(naive, rel=TOLERANCE[None]), run


def test_the_frozen_part_has_no_dropout_and_the_trained_part_keeps_its_own(prepared: str, tmp_path: Path) -> None:
    train_state = loop_of(prepared, setup_of("lora", 1, dropout=0.3), tmp_path).train_state
    train_state.model.train()
    assert train_state.frozen_layers is not None
    ids, mask = torch.arange(1, 13).reshape(2, 6), torch.ones(2, 6, dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": mask}
    once, twice = train_state.frozen_layers.run(inputs), train_state.frozen_layers.run(inputs)
    assert torch.equal(once, twice)
    assert not once.requires_grad
    with train_state.frozen_layers.given(once):
        assert not torch.equal(train_state.model(ids, mask).logits, train_state.model(ids, mask).logits)


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other program counts as load: the prices of activations that were computed beside one are provisional."""
    monkeypatch.setattr("peftcost.engine.train.ForeignLoad.contended", lambda self: False)


@pytest.mark.usefixtures("undisturbed")
def test_what_was_found_ready_is_charged_once_as_it_took(prepared: str, tmp_path: Path) -> None:
    setup = setup_of("frozen", 0, label_smoothing=0.01)  # of this test alone, but the activations are shared with others
    first, second = (loop_of(prepared, setup, tmp_path / name) for name in "ab")
    share_afresh(first, "charged")
    first.run()
    share_afresh(second, "charged")
    assert first.source is not None and second.source is not None and second.source.stored is not None
    took = float(second.source.stored.seconds.sum())
    assert took > 0
    owed: list[float] = []
    settle = second.source.take_owed_seconds
    second.source.take_owed_seconds = lambda contended: owed.append(settle(contended)) or owed[-1]  # type: ignore[method-assign, func-returns-value]
    second.run()
    assert sum(owed) == pytest.approx(took, rel=1e-5)
    assert second.gpu_seconds > took


def share_afresh(loop: Loop, name: str) -> None:
    """Share activations under a name of the test's own."""
    assert loop.source is not None
    share(loop.source, loop.train_state, Path(loop.job.prepared) / name, "train")


def test_resumed_pays_nothing_twice(prepared: str, tmp_path: Path) -> None:
    setup = setup_of("frozen", 1)
    train(TrainJob(prepared, setup, 5, str(tmp_path)), NullReporter())  # leaves the stable phase's checkpoint
    again = loop_of(prepared, setup, tmp_path)
    again.share_activations()
    again.resume()
    assert again.step * 16 >= ROWS  # every example was used before
    assert again.source is not None
    before = again.gpu_seconds
    again.run()
    assert again.source.owed_seconds == 0
    assert again.gpu_seconds > before


def test_beside_other_programs_a_training_ends_with_the_same_weights(
    prepared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for contended in (False, True):
        monkeypatch.setattr("peftcost.engine.train.ForeignLoad.contended", lambda self, found=contended: found)
        loop = loop_of(prepared, setup_of("frozen", 0), tmp_path / str(contended), checkpoint_seconds=0.0)
        share_afresh(loop, f"beside-{contended}")
        loop.run()
        ends.append({name: p.detach().clone() for name, p in loop.train_state.trained.items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.usefixtures("undisturbed")
def test_what_was_paid_before_its_activations_were_lost_is_paid_once(prepared: str, tmp_path: Path) -> None:
    loop = loop_of(prepared, setup_of("frozen", 0), tmp_path)
    share_afresh(loop, "lost")
    assert loop.source is not None and loop.source.stored is not None
    loop.source.paid(np.arange(ROWS))
    owed: list[float] = []
    settle = loop.source.take_owed_seconds
    loop.source.take_owed_seconds = lambda contended: owed.append(settle(contended)) or owed[-1]  # type: ignore[method-assign, func-returns-value]
    loop.run()
    took = float(loop.source.stored.seconds.sum())
    assert took > 0
    assert sum(owed) == pytest.approx(-took, rel=1e-5)


SMALL: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
TWO_ROWS = get_task_type("text-classification").dummy_batch(ElectraConfig(), Classes(("a", "b")), (4, 3))
OTHERS = {
    "dropout between embeddings and layers": ElectraConfig(**SMALL, embedding_size=16),
    "layers that hand on tuples": DebertaV2Config(**SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"]),
}


@pytest.mark.parametrize("config", OTHERS.values(), ids=list(OTHERS))
def test_other_architectures_work_in_halves_and_without_chance(config: PretrainedConfig) -> None:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).train()
    frozen_layers = cut(model, 2, TWO_ROWS)
    assert frozen_layers is not None
    inputs = {"input_ids": torch.arange(12).reshape(2, 6) + 1, "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    assert torch.equal(frozen_layers.run(inputs), frozen_layers.run(inputs))
    assert model.training


def test_a_model_that_does_not_work_in_halves_trains_as_a_whole(tiny_bert: Path, prepared: str) -> None:
    info = load_dataset_info(Path(prepared))
    base = load_base(BaseSpec.of(info, get_method("frozen"), {}), 0)

    class RemembersItsFirstLayer(torch.nn.Module):
        """Its head sees what the first layer gave, which the rest alone cannot know."""

        def __init__(self) -> None:
            super().__init__()
            self.base = base
            transformer_layers(base)[1][0].register_forward_hook(self.remember)

        def remember(self, _: object, args: object, out: torch.Tensor) -> torch.Tensor:
            self.first = out[0, 0, 0]
            return out

        def forward(self, **inputs: torch.Tensor) -> Any:
            output = self.base(**inputs)
            output.logits = output.logits + self.first
            return output

    model = RemembersItsFirstLayer().eval()
    inputs = {"input_ids": torch.arange(1, 9).reshape(2, 4), "attention_mask": torch.ones(2, 4, dtype=torch.long)}
    before = model(**inputs).logits
    assert cut(model, 2, TWO_ROWS) is None
    assert torch.equal(model(**inputs).logits, before)


def test_a_cut_model_still_saves_and_runs_as_a_whole(prepared: str, tmp_path: Path) -> None:
    train_state: TrainState = loop_of(prepared, setup_of("frozen", 1), tmp_path / "out").train_state
    train_state.method.save(train_state.plain, tmp_path / "model")
    info = load_dataset_info(Path(prepared))
    again = train_state.method.load(load_base(BaseSpec.of(info, train_state.method, {}), 0), tmp_path / "model")
    ids, mask = torch.arange(1, 13).reshape(2, 6), torch.ones(2, 6, dtype=torch.long)
    train_state.model.eval()
    assert torch.equal(again(ids, mask).logits, train_state.model(ids, mask).logits)
