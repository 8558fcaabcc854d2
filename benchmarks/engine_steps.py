"""Sections of benchmarks/engine.py that time steps inside one process."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from engine import prepared_here, spread, tweets
from torch.utils.flop_counter import FlopCounterMode
from trainer_script import AfterStep, arguments
from transformers import AutoTokenizer, BertConfig, Trainer

from peftcost.core.setup import Setup
from peftcost.cost.meter import Stopwatch
from peftcost.engine.calibrate import save_random
from peftcost.engine.dataset import Batch, batches_from, batches_of_epoch, load_dataset_info, load_split
from peftcost.engine.job import NullReporter, TrainJob
from peftcost.engine.schedule import StepPlan
from peftcost.engine.train import Loop
from peftcost.engine.train_state import TrainState, build, new_accelerator
from peftcost.methods import get_method, methods

STEPS = 16
REPEATS = 8
PAIR_STEPS, PAIRS, ROUNDS = 4, 6, 2
"""These machines' speed doubles and halves within minutes: what is compared takes turns every few steps."""


def new_loop(method: str, model: str | None = None, **choices: Any) -> Loop:
    """A loop on tweets that never ends by itself. model: a folder, the built-in one by default."""
    task, builtin = tweets()
    model = model or builtin
    folder = Path(prepared_here(task, model))
    info, split, dev = load_dataset_info(folder), load_split(folder, "train"), load_split(folder, "dev")
    setup = Setup.of(method, {**get_method(method).prior(), **choices}, 10_000)
    train_state = build(setup, 0, info, 1000)
    job = TrainJob(str(folder), setup, 0, tempfile.mkdtemp(), checkpoint_seconds=math.inf)
    return Loop(job, NullReporter(), train_state, split, dev, StepPlan(0, 1, 0))


def engine_seconds(loop: Loop, steps: int) -> float:
    """The engine's own loop, so many steps more."""
    end, before = loop.step + steps, loop.gpu_seconds
    loop.plan = replace(loop.plan, total_steps=end, stable_steps=end + 1)
    loop.run()
    return loop.gpu_seconds - before


def bare_seconds(loop: Loop, steps: int) -> float:
    """A plain PyTorch loop over the engine's batches: forward, loss, backward, clip, step."""
    train_state, collator = loop.train_state, loop.train_state.collator
    model, optimizer = train_state.model, train_state.optimizer
    trained = list(train_state.trained.values())
    indices = [chosen for chosen, _ in zip(stream_from(loop), range(steps), strict=False)]
    model.train()
    watch = Stopwatch(train_state.device)
    for step, chosen in enumerate(indices):
        batch = collator.batch(loop.split, chosen).to(train_state.device)
        logits = model(**batch.inputs).logits[..., -3:]
        loss = torch.nn.functional.cross_entropy(logits, batch.targets)
        penalty = train_state.method.penalty(train_state.plain)
        (loss if penalty is None else loss + penalty).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        train_state.method.after_step(train_state.plain, loop.step + step)
        optimizer.zero_grad(set_to_none=True)
    seconds = watch.lap()
    loop.step += steps
    return seconds


def stream_from(loop: Loop) -> Iterator[np.ndarray]:
    return batches_from(loop.split.lengths, loop.batch_size, 0, loop.step)


def trainer_seconds(loop: Loop, steps: int) -> float:
    """Trainer over the same batches, collated beforehand."""
    train_state, collator = loop.train_state, loop.train_state.collator
    chosen = [c for c, _ in zip(stream_from(loop), range(steps), strict=False)]
    batches = [as_inputs(collator.batch(loop.split, c)) for c in chosen]
    choices = {**train_state.choices, "batch_size": 1}  # one whole batch is one item
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(
            model=train_state.plain,
            args=arguments(out, choices, steps, 0),
            train_dataset=batches,
            data_collator=lambda items: items[0],
            callbacks=[AfterStep(train_state.method, train_state.plain)],
        )
        seconds = float(trainer.train().metrics["train_runtime"])
    loop.step += steps
    return seconds


def as_inputs(batch: Batch) -> dict[str, torch.Tensor]:
    return {**batch.inputs, "labels": batch.targets}


def loop() -> dict[str, Any]:
    """Seconds of the engine's loop over those of a bare loop and of Trainer, each on its own copy of the model, the same
    batches, in turns."""
    found = {}
    for name in methods():
        ours, bare, trainers = new_loop(name), new_loop(name), new_loop(name)
        over_bare, over_trainer, per_step = [], [], []
        for round_ in range(ROUNDS + 1):
            engine_total = 0.0
            for pair in range(PAIRS):
                first, second = (ours, bare) if pair % 2 else (bare, ours)
                timed = {
                    id(one): (engine_seconds if one is ours else bare_seconds)(one, PAIR_STEPS) for one in (first, second)
                }
                engine_total += timed[id(ours)]
                if round_:  # the first round allocates
                    over_bare.append(timed[id(ours)] / timed[id(bare)])
                    per_step.append(timed[id(ours)] / PAIR_STEPS)
            trainer_total = trainer_seconds(trainers, PAIR_STEPS * PAIRS)
            if round_:
                over_trainer.append(engine_total / trainer_total)
        found[name] = {
            "seconds_per_step": min(per_step),
            "engine_over_bare": spread(over_bare),
            "engine_over_trainer": spread(over_trainer),
        }
        print(name, found[name], flush=True)
    return found


def overhead() -> dict[str, Any]:
    """What the engine's loop takes beside the model's own work: its step less a bare one on a model that is next to
    nothing, where the noise of large steps does not hide it. As a share of real steps it is the loop's overhead."""
    with tempfile.TemporaryDirectory() as folder:
        save_random(BertConfig(vocab_size=30522, hidden_size=16, num_hidden_layers=1, num_attention_heads=1), Path(folder))
        AutoTokenizer.from_pretrained(tweets()[1]).save_pretrained(folder)
        ours, bare = new_loop("full", folder), new_loop("full", folder)
        more = []
        for repeat in range(12 * REPEATS):
            found = (engine_seconds(ours, STEPS) - bare_seconds(bare, STEPS)) / STEPS
            if repeat >= REPEATS:
                more.append(found)
    return {"seconds_per_step": spread(more)}


def upper() -> dict[str, Any]:
    """A cached step against the same step on the whole model, over the ratio of their floating-point operations."""
    found = {}
    for method, top in (("frozen", 0), ("frozen", 1), ("frozen", 2), ("lora", 2), ("lora", 4), ("nf4-lora", 2)):
        live, cached = new_loop(method, top_layers=top), new_loop(method, top_layers=top)
        cached.share_activations()
        epoch = -(-len(cached.split) // cached.batch_size)
        engine_seconds(cached, epoch)  # computes them
        bare_seconds(live, STEPS)
        ratios = []
        for _ in range(REPEATS):
            cached.step = live.step
            ratios.append(bare_seconds(live, STEPS) / engine_seconds(cached, STEPS))
        batch = next(stream_from(cached))
        bound = step_flops(live, batch, given=False) / step_flops(cached, batch, given=True)
        found[f"{method}, top {top}"] = {
            "speedup": spread(ratios),
            "flop_bound": bound,
            "share_of_bound": spread([ratio / bound for ratio in ratios]),
        }
        print(method, top, found[f"{method}, top {top}"], flush=True)
    return found


def step_flops(loop: Loop, chosen: np.ndarray, given: bool) -> float:
    """Floating-point operations of forward and backward, of the whole model or of what is above given activations."""
    train_state = loop.train_state
    batch = train_state.collator.batch(loop.split, chosen)
    train_state.model.train()
    hidden = train_state.frozen_layers.run(batch.inputs) if given and train_state.frozen_layers else None
    with FlopCounterMode(display=False) as counter:
        if hidden is not None and train_state.frozen_layers is not None:
            with train_state.frozen_layers.given(hidden):
                logits = train_state.model(**batch.inputs).logits
        else:
            logits = train_state.model(**batch.inputs).logits
        torch.nn.functional.cross_entropy(logits, batch.targets).backward()
    train_state.optimizer.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def buckets() -> dict[str, Any]:
    """An epoch in buckets against the same tokens without any padding, and against Trainer's random order."""
    loop = new_loop("lora")
    lengths = loop.split.lengths
    chosen = batches_of_epoch(lengths, 16, 0, 0)[:STEPS]
    order = np.random.default_rng(0).permutation(np.concatenate(chosen))
    shuffled = np.split(order, len(chosen))
    ratios, random_ratios = [], []
    for repeat in range(REPEATS + 1):
        bucketed = epoch_seconds(loop, [(16, int(lengths[b].max())) for b in chosen])
        ideal = epoch_seconds(loop, [(16, round(float(lengths[b].mean()))) for b in chosen])
        randomly = epoch_seconds(loop, [(16, int(lengths[b].max())) for b in shuffled])
        if repeat:
            ratios.append(ideal / bucketed)
            random_ratios.append(randomly / bucketed)
    return {"no_padding_over_bucketed": spread(ratios), "random_order_over_bucketed": spread(random_ratios)}


def epoch_seconds(loop: Loop, shapes: list[tuple[int, int]]) -> float:
    """Training steps on batches of these shapes."""
    train_state = loop.train_state
    watch = Stopwatch(train_state.device)
    for rows, tokens in shapes:
        train_step(train_state, rows, tokens)
    return watch.lap()


def train_step(train_state: TrainState, rows: int, tokens: int, autocast: Any = None) -> None:
    ids = torch.full((rows, tokens), 2000, device=train_state.device)
    mask = torch.ones_like(ids)
    mask[0, -1] = 0
    targets = torch.zeros(rows, dtype=torch.long, device=train_state.device)
    with torch.autocast(train_state.device.type, dtype=autocast, enabled=autocast is not None):
        logits = train_state.model(input_ids=ids, attention_mask=mask).logits
    torch.nn.functional.cross_entropy(logits.float(), targets).backward()
    train_state.optimizer.step()
    train_state.optimizer.zero_grad(set_to_none=True)


def kernels() -> dict[str, Any]:
    """What is on by default against what it replaced, and what is off against what it would bring."""
    loop = new_loop("full")
    train_state, rows, tokens = loop.train_state, 16, 40
    train_state.model.train()

    def step(**options: Any) -> None:
        train_step(train_state, rows, tokens, **options)

    found: dict[str, Any] = {}

    def in_turns(name: str, first: Callable[[], None], second: Callable[[], None], times: int = 6) -> None:
        ratios = []
        for repeat in range(REPEATS + 1):
            one, two = seconds_of(train_state, first, times), seconds_of(train_state, second, times)
            if repeat:
                ratios.append(two / one)
        found[name] = spread(ratios)
        print(name, found[name], flush=True)

    in_turns("bf16_over_fp32", step, lambda: step(autocast=torch.bfloat16), times=1)
    fused = train_state.optimizer
    plain = torch.optim.AdamW(train_state.plain.parameters(), lr=1e-5, fused=False, foreach=False)
    for parameter in train_state.plain.parameters():
        parameter.grad = torch.zeros_like(parameter)
    in_turns("plain_adamw_over_fused", fused.step, plain.step)
    train_state.optimizer.zero_grad(set_to_none=True)

    def with_attention(name: str) -> None:
        train_state.plain.set_attn_implementation(name)
        step()

    in_turns("eager_attention_over_sdpa", lambda: with_attention("sdpa"), lambda: with_attention("eager"))
    return found


def compiling() -> dict[str, Any]:
    """What torch.compile would bring."""
    return compile_payback(new_loop("full").train_state, 16)


def flops() -> dict[str, Any]:
    """Floating-point operations per second: of a large matrix product, and of the steps of some methods."""
    return {"matmul_peak": matmul_peak(new_accelerator("fp32").device), **model_flops(REPEATS)}


def seconds_of(train_state: TrainState, run: Callable[[], None], times: int) -> float:
    watch = Stopwatch(train_state.device)
    for _ in range(times):
        run()
    return watch.lap()


def compile_payback(train_state: TrainState, rows: int) -> dict[str, Any]:
    """Steps after which torch.compile has paid for its compiling, over batches of two widths; buckets have a dozen."""
    widths = [24, 40]
    eager = [seconds_of(train_state, lambda w=w: train_step(train_state, rows, w), 2) / 2 for w in widths]
    compiled = SimpleNamespace(
        model=torch.compile(train_state.plain, dynamic=True), optimizer=train_state.optimizer, device=train_state.device
    )
    watch = Stopwatch(train_state.device)
    for width in widths:
        train_step(compiled, rows, width)
    compiling = watch.lap()
    after = [seconds_of(train_state, lambda w=w: train_step(compiled, rows, w), 2) / 2 for w in widths]
    saved = (sum(eager) - sum(after)) / len(widths)
    return {
        "compiling_seconds": compiling - sum(after),
        "eager_seconds_per_step": sum(eager) / len(widths),
        "compiled_seconds_per_step": sum(after) / len(widths),
        "pays_back_after_steps": (compiling - sum(after)) / saved if saved > 0 else None,
    }


def matmul_peak(device: torch.device) -> float:
    """Floating-point operations per second of a large fp32 matrix product: the best of thirty."""
    n = 2048
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    best = math.inf
    for _ in range(30):
        watch = Stopwatch(device)
        a @ b
        best = min(best, watch.lap())
    return 2 * n**3 / best


def model_flops(repeats: int) -> dict[str, float]:
    """Floating-point operations that a method's steps need, per second that they take."""
    found = {}
    for name in ("full", "lora", "frozen"):
        loop = new_loop(name)
        flops = sum(step_flops(loop, c, given=False) for c, _ in zip(stream_from(loop), range(STEPS), strict=False))
        seconds = min(bare_and_back(loop) for _ in range(repeats))
        found[name] = flops / seconds
    return found


def bare_and_back(loop: Loop) -> float:
    """The same steps each time."""
    loop.step = 0
    return engine_seconds(loop, STEPS)
