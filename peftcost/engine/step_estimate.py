"""Estimates one training step under fake tensors: no weights, no device, no arithmetic, but every size is real.

The model is built from its configuration with hollow weights, the method is applied as in earnest, every parameter is
replaced by an empty fake one, and a forward and backward pass with the optimizer's step is followed operator by
operator. What lives when gives `peak_bytes` as `peftcost.cost.meter` defines it; what is computed and moved gives the
work that `peftcost.cost.rates` turns into time.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode

from peftcost.core.setup import ATTENTION, WEIGHTS, Scalar, Setup
from peftcost.cost.meter import MICRO_BATCHES_TO_PEAK
from peftcost.cost.rates import Work
from peftcost.engine.as_on_cuda import as_on_cuda
from peftcost.engine.attention import EAGER
from peftcost.engine.base_model import held_dtypes, steady_options
from peftcost.engine.frozen_layers import FrozenLayers, cut
from peftcost.engine.layout import causal_alone, goes_without_mask, without_mask
from peftcost.engine.operators import Tracker
from peftcost.engine.quantized import quantize_in_place
from peftcost.engine.source import forward
from peftcost.engine.step import Step
from peftcost.engine.train_state import made_trainable, make_optimizer, mixed_precision_dtype
from peftcost.errors import SetupFailed
from peftcost.methods.base import Method
from peftcost.methods.head import mark_fresh
from peftcost.methods.layers import body_prefix
from peftcost.tasks import TaskType
from peftcost.tasks.batch import Batch
from peftcost.tasks.targets import Targets

DEPTHS = (6, 12)
"""Layers at which deep models are estimated; more than any method treats apart, and six apart, so that kinds of layers that
alternate (every second, third or sixth) stand in both in proportion."""


@dataclass(frozen=True)
class StepEstimate:
    """What one step of a setup takes.

    peaks: by phase (forward, backward, optimizer), bytes alive at its peak by kind (weights, gradients, optimizer,
    activations, temporary). work: of one step over the whole batch, all micro-batches and the optimizer included.
    """

    peaks: Mapping[str, Mapping[str, int]]
    trainable_parameters: int
    total_parameters: int
    work: Work

    @property
    def parts(self) -> Mapping[str, int]:
        """Bytes by kind at the step's peak; they sum to peak_bytes."""
        return max(self.peaks.values(), key=lambda parts: sum(parts.values()))

    @property
    def peak_bytes(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Shape:
    """A batch: rows of equal length, of which `micro_batch_size` at a time are on the device. places: of how many positions
    of these logits are computed; None for all."""

    batch_size: int
    tokens: int
    micro_batch_size: int | None = None
    places: int | None = None


def estimate_step(
    config: transformers.PretrainedConfig,
    task_type: TaskType,
    method: Method,
    choices: Mapping[str, Scalar],
    shape: Shape,
    targets: Targets,
    device_kind: str = "cpu",
) -> StepEstimate:
    """The estimate of one training step. choices: a setup's hyperparameters. device_kind: what it is to run on.

    SetupFailed when the method cannot take this model, or transformers cannot build it.
    """
    tracker = Tracker()
    with quiet(), torch.random.fork_rng(devices=[]):
        model = hollow_model(config, task_type, method, choices, targets, device_kind, tracker)
    with quiet(), FakeTensorMode(allow_non_fake_inputs=True):
        held = {id(p): dtype for p, dtype in held_dtypes(model, str(choices.get(WEIGHTS, "fp32"))).items()}
        replace_tensors(model, lambda tensor: torch.empty(tensor.shape, dtype=held.get(id(tensor), tensor.dtype)))
        two_rows = task_type.two_rows(config, targets)
        frozen_layers = cut(model, method.frozen_depth(model, choices), two_rows, check=False)
        model.train()
        optimizer = make_optimizer(model, choices)
        trained = [p for p in model.parameters() if p.requires_grad]
        states = fake_states(optimizer, trained)
        weights = tracker.know([*model.parameters(), *model.buffers()])
        optimizer_bytes = tracker.know(states)
        with tracker, device_memory(device_kind, choices, tracker):
            one_step(
                model,
                optimizer,
                method,
                choices,
                task_type,
                targets,
                shape,
                frozen_layers,
                tracker.enter,
                MICRO_BATCHES_TO_PEAK,
                device_kind == "cuda" and goes_without_mask(model, method, choices),
            )
        # Micro-batches are alike, so two of them stand for all: the first makes the gradients, the second adds to them.
        tracker.scale_passes(max(1.0, shape.batch_size / (2 * (shape.micro_batch_size or shape.batch_size))))
        gradients = sum(p.grad.numel() * p.grad.element_size() for p in trained if p.grad is not None)
        n_trained = sum(p.numel() for p in trained)
        n_total = sum(int(getattr(p, "unpacked_numel", p.numel())) for p in model.parameters())
    peaks = {}
    for phase, live in tracker.at_peak.items():
        of_gradients = min(gradients, live["backward"])
        peaks[phase] = {
            "weights": weights,
            "gradients": of_gradients,
            "optimizer": optimizer_bytes,
            "activations": live["forward"],
            "temporary": sum(live.values()) - live["forward"] - of_gradients,
        }
    return StepEstimate(peaks, n_trained, n_total, tracker.work())


def hollow_model(
    config: transformers.PretrainedConfig,
    task_type: TaskType,
    method: Method,
    choices: Mapping[str, Scalar],
    targets: Targets,
    device_kind: str,
    tracker: Tracker,
) -> torch.nn.Module:
    """The model with the method applied, its weights hollow. SetupFailed when the method cannot take it."""
    try:
        attention = EAGER if choices.get(ATTENTION) == EAGER else None  # the others keep what a fused one keeps
        base = build(config, task_type, method.quantization, targets, device_kind, tracker, attention)
        return made_trainable(base, method, choices, total_steps=1000)
    except (LookupError, ValueError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise SetupFailed(f"{method.name} cannot take this {config.model_type} model: {error}") from error


def reason_against(
    config: transformers.PretrainedConfig, task_type: TaskType, method: Method, targets: Targets, device_kind: str = "cpu"
) -> str | None:
    """Why this method cannot take a model of this configuration, or None: by what it says itself, and by applying it to a
    hollow one. No step is made."""
    why = method.unsupported_reason(config, device_kind)
    if why is not None:
        return why
    choices = Setup.of(method.name, method.prior(), 0).hyperparameters
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            hollow_model(config, task_type, method, choices, targets, device_kind, Tracker())
    except SetupFailed as error:
        return str(error)
    return None


def device_memory(
    device_kind: str, choices: Mapping[str, Scalar], tracker: Tracker
) -> contextlib.AbstractContextManager[None]:
    """A context in which operators take the memory that they take on this kind of device."""
    if device_kind != "cuda":
        return contextlib.nullcontext()
    return as_on_cuda(choices["precision"] != "fp32", lambda flops: tracker.add("attention_flops", flops))


def extrapolated(
    config: transformers.PretrainedConfig, estimate: Callable[[transformers.PretrainedConfig], StepEstimate]
) -> StepEstimate:
    """The estimate of a stack of equal layers: every figure grows by the same amount with each layer, so those of two
    shallow stacks give the line; of memory one for each phase, since another may be the highest in a deep stack. (Checked
    against whole estimates in tests/engine/test_step_estimate.py.) Made whole where a configuration cannot be cut: GPT-Neo's
    names the attention of each layer."""
    kind, named = type(config), config.to_dict()
    try:
        shallow = [kind.from_dict({**named, "num_hidden_layers": depth, "layer_types": None}) for depth in DEPTHS]
    except Exception:  # whatever a configuration checks of itself
        return estimate(config)
    low, high = map(estimate, shallow)
    steps = (int(config.num_hidden_layers) - DEPTHS[0]) / (DEPTHS[1] - DEPTHS[0])

    def line(a: float, b: float) -> float:
        return a + steps * (b - a)

    def whole(a: float, b: float) -> int:
        return round(line(a, b))

    work = {kind: line(value, high.work.as_dict()[kind]) for kind, value in low.work.as_dict().items()}
    return StepEstimate(
        {
            phase: {name: whole(value, high.peaks[phase][name]) for name, value in parts.items()}
            for phase, parts in low.peaks.items()
        },
        whole(low.trainable_parameters, high.trainable_parameters),
        whole(low.total_parameters, high.total_parameters),
        Work(**work),
    )


def one_step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    method: Method,
    choices: Mapping[str, Scalar],
    task_type: TaskType,
    targets: Targets,
    shape: Shape,
    frozen_layers: FrozenLayers | None = None,
    on_phase: Callable[[str], None] = lambda phase: None,
    most_micro_batches: int | None = None,
    unmasked: bool = False,
) -> None:
    """The engine's step on a batch of this shape. most_micro_batches: of all that the batch has. unmasked: whether the model
    is given no mask."""
    device, config = next(model.parameters()).device, cast(transformers.PretrainedConfig, model.config)
    micro = shape.micro_batch_size or shape.batch_size
    rows = [min(micro, shape.batch_size - start) for start in range(0, shape.batch_size, micro)][:most_micro_batches]
    dtype = mixed_precision_dtype(str(choices["precision"]))

    def mixed() -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(device.type, dtype=dtype) if dtype is not None else contextlib.nullcontext()

    def parts() -> Iterator[Batch]:
        for n in rows:
            on_phase("forward")
            # rows of a batch differ in length (without any padding, transformers would drop the mask)
            lengths = [shape.tokens] + [max(1, shape.tokens - 1)] * (n - 1)
            batch = task_type.dummy_batch(config, targets, lengths).to(device)
            batch = without_mask(batch) if unmasked else batch
            if shape.places is not None and shape.places < n * shape.tokens:
                batch = replace(batch, kept=torch.arange(shape.places, device=device))
            if frozen_layers is not None:
                with mixed(), causal_alone(batch):
                    batch = replace(batch, activations=frozen_layers.run(batch.inputs))
            yield batch

    def logits(batch: Batch) -> torch.Tensor:
        with mixed():
            return forward(model, batch, frozen_layers).float()  # as Accelerate hands them on

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    step = Step(model, model, trained, logits, optimizer, method, choices, task_type, on_phase=on_phase)
    step.gradients(parts(), shape.batch_size, shape.batch_size)
    step.update()


def build(
    config: transformers.PretrainedConfig,
    task_type: TaskType,
    quantization: str | None,
    targets: Targets,
    device_kind: str,
    tracker: Tracker,
    attention: str | None = None,
) -> transformers.PreTrainedModel:
    """The base from its configuration, on the CPU, its weights hollow: of their shape, but one number each in memory.
    (On the meta device, PEFT would make parameters anew and forget which are not to be trained.)"""
    config = type(config).from_dict({**config.to_dict(), **task_type.model_options(targets), **steady_options(config)})
    if getattr(config, "pad_token_id", 0) is None:
        config.pad_token_id = 0
    with torch.device("meta"):
        how: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
        model = getattr(transformers, task_type.auto_model).from_config(config, dtype=torch.float32, **how)
        of_head = [n for n, _ in model.named_parameters() if not n.startswith(body_prefix(model))]
        mark_fresh(model, of_head if task_type.fresh_head else [])
        replace_tensors(model, lambda tensor: torch.zeros((), dtype=tensor.dtype, device="cpu").expand(tensor.shape))
        if quantization is not None:
            quantize_in_place(model, quantization, device_kind, lambda n: tracker.add(f"{quantization}_elements", n))
    return model


def replace_tensors(model: torch.nn.Module, replacement: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Put others in the place of parameters and buffers; tied ones stay tied."""
    made: dict[int, torch.Tensor] = {}

    def replaced(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            new = replacement(tensor)
            if isinstance(tensor, torch.nn.Parameter):
                new = torch.nn.Parameter(new, requires_grad=tensor.requires_grad)
                new.unpacked_numel = getattr(tensor, "unpacked_numel", tensor.numel())  # type: ignore[attr-defined]
            made[id(tensor)] = new
        return made[id(tensor)]

    for module in model.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = replaced(tensor)  # type: ignore[assignment]


def fake_states(optimizer: torch.optim.Optimizer, trained: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Give the optimizer the states that it has after its first step."""
    made = []
    for parameter in trained:
        if isinstance(optimizer, torch.optim.SGD):
            state = {"momentum_buffer": torch.zeros_like(parameter)}
        else:
            state = {
                "step": torch.zeros((), dtype=torch.float32),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        optimizer.state[parameter] = state
        made += list(state.values())
    return made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers and peft warn of what does not matter for an estimate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
