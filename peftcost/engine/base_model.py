"""Loads the pretrained base, quantized if a method asks for it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import transformers
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.integrations import bitsandbytes as quantizing

from peftcost.core.setup import ATTENTION, WEIGHTS, Scalar
from peftcost.cost.meter import Stopwatch
from peftcost.engine.attention import is_installed
from peftcost.engine.dataset import DatasetInfo
from peftcost.errors import SetupFailed
from peftcost.methods import Method
from peftcost.methods.head import KEEP_IN_FULL_PRECISION, fresh_modules, head_test, mark_fresh
from peftcost.methods.layers import body_prefix, count_layers, transformer_layers
from peftcost.tasks.text_inputs import load_tokenizer


def quantization_config(kind: str | None, head: Sequence[str] = ()) -> BitsAndBytesConfig | None:
    """bitsandbytes settings for "int8" or "nf4" (with double quantization; Dettmers et al. 2023, section 3).

    head: names of modules that are not to be quantized, beside the known ones.
    """
    names = [*KEEP_IN_FULL_PRECISION, *(re.escape(name) for name in head)]
    keep = [rf"(.*\.)?{name}" for name in names]  # transformers matches these from the start
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=keep)
    if kind == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute_dtype(),
            llm_int8_skip_modules=keep,
        )
    return None


def compute_dtype() -> torch.dtype:
    """In which 4-bit layers multiply on this machine."""
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@dataclass(frozen=True)
class BaseSpec:
    """What of a base lies on the device.

    model: its folder. auto_model: the transformers class that builds it. options: of its configuration, as the task type has
    them. fresh_head: whether its head is to be a new one. weights: in what the part that is not trained is held, "fp32" or
    "bf16". quantization: of the linear layers, "int8", "nf4" or None.
    attention: how it is computed, None for transformers' choice, which is also taken where this one is not installed.
    """

    model: str
    auto_model: str
    options: Mapping[str, Any]
    fresh_head: bool = True
    weights: str = "fp32"
    quantization: str | None = None
    attention: str | None = None

    @classmethod
    def plain(cls, info: DatasetInfo) -> BaseSpec:
        """The base of a task as it comes."""
        kind = info.task_type
        return cls(info.model, kind.auto_model, kind.model_options(info.targets), kind.fresh_head)

    @classmethod
    def of(cls, info: DatasetInfo, method: Method, choices: Mapping[str, Scalar]) -> BaseSpec:
        """For a setup of this method with these choices."""
        weights = str(choices.get(WEIGHTS, "fp32"))
        attention = str(choices[ATTENTION]) if choices.get(ATTENTION) else None
        return replace(cls.plain(info), weights=weights, quantization=method.quantization, attention=attention)


def load_base(spec: BaseSpec, seed: int, device: str = "cpu") -> PreTrainedModel:
    """The base with a fresh task head, whose values depend on `seed` alone. All in fp32, or the head in fp32 and the rest as
    the checkpoint has it, where `hold_weights` is to follow: what is trained loses nothing.

    A device map puts a quantized base where it will stay, since bitsandbytes quantizes on the way there.
    """
    torch.manual_seed(seed)
    options: dict[str, Any] = {"dtype": torch.float32 if spec.weights == "fp32" else "auto"}
    if spec.attention is not None and is_installed(spec.attention, device):
        options["attn_implementation"] = spec.attention
    if spec.quantization is not None:
        with_head_alone = from_checkpoint(spec, dtype=torch.float32, device_map="meta")  # its names, not its weights
        config = quantization_config(spec.quantization, fresh_modules(with_head_alone))
        options |= {"quantization_config": config, "device_map": {"": device}}
        torch.manual_seed(seed)
    base = from_checkpoint(spec, **options)
    if spec.weights != "fp32":
        for module in head_modules(base):
            module.float()
    if spec.quantization == "nf4":
        keep_weights_trainable(base)
    if base.main_input_name == "input_ids" and getattr(base.config, "pad_token_id", None) is None:
        base.config.pad_token_id = load_tokenizer(spec.model).pad_token_id
    return base


def from_checkpoint(spec: BaseSpec, **options: Any) -> PreTrainedModel:
    """The checkpoint under its head. A fresh one is marked. SetupFailed where more than a head is missing in it.

    Where the head is to be fresh, one that the checkpoint has is replaced: its classes are another task's.
    """
    config = transformers.AutoConfig.from_pretrained(spec.model)
    base, info = getattr(transformers, spec.auto_model).from_pretrained(
        spec.model,
        **spec.options,
        **steady_options(config),
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    parameters = {name for name, _ in base.named_parameters()}
    new = (set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}) & parameters
    layers = transformer_layers(base)[0] if count_layers(base) else ""
    lost = sorted(name for name in new if not spec.fresh_head or (layers and name.startswith(f"{layers}.")))
    if lost:
        raise SetupFailed(
            f"{spec.model} has no weights, or of another shape, for {lost[0]}; it is no checkpoint of this model"
        )
    old = {name for name in parameters - new if spec.fresh_head and not name.startswith(body_prefix(base))}
    if old:
        renew(base, old)
    mark_fresh(base, new | old)
    return cast(PreTrainedModel, base)


def steady_options(config: transformers.PretrainedConfig) -> dict[str, Any]:
    """Of the configuration: no layers or stretches of a sound left out at random, which no seed and no captured step would
    repeat; and no weights of layers beside the base, which would belong to the head."""
    never_dropped = dict.fromkeys(("layerdrop", "encoder_layerdrop", "decoder_layerdrop"), 0.0)
    steady = {"apply_spec_augment": False, "use_weighted_layer_sum": False, **never_dropped}
    return {name: value for name, value in steady.items() if hasattr(config, name)}


@torch.no_grad()
def renew(base: PreTrainedModel, names: set[str]) -> None:
    """Draw these parameters anew, as transformers does for a head that a checkpoint lacks."""
    modules = {name.rpartition(".")[0] for name in names}
    for name in sorted(modules):
        module = base.get_submodule(name)
        for parameter in module.parameters():
            setattr(parameter, "_is_hf_initialized", False)  # noqa: B010  (else transformers would leave it)
        base._init_weights(module)


def head_modules(base: PreTrainedModel) -> list[torch.nn.Module]:
    """The task head and what belongs to it."""
    is_in_head = head_test(base)
    return [module for name, module in base.named_modules() if name and is_in_head(name)]


def hold_frozen(base: PreTrainedModel, weights: str) -> None:
    """Hold all but the head as `weights` says: what a saved adapter or method comes on top of."""
    head = {id(parameter) for module in head_modules(base) for parameter in module.parameters()}
    if weights == "bf16":
        for parameter in base.parameters():
            if parameter.is_floating_point() and id(parameter) not in head:
                parameter.data = parameter.data.to(torch.bfloat16)
        dequantize_to_bf16(base)


def held_dtypes(model: torch.nn.Module, weights: str) -> dict[torch.nn.Parameter, torch.dtype]:
    """What each parameter that is no quantized one is to be held in: fp32 where it is trained, else as `weights` says; a base
    that is trained whole, as `weights` says."""
    parameters = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    held = {"fp32": torch.float32, "bf16": torch.bfloat16}[weights]
    whole = all(parameter.requires_grad for parameter in parameters)
    return {p: torch.float32 if p.requires_grad and not whole else held for p in parameters}


def hold_weights(model: torch.nn.Module, weights: str) -> None:
    """Hold parameters as `held_dtypes` says."""
    for parameter, dtype in held_dtypes(model, weights).items():
        parameter.data = parameter.data.to(dtype)
    if weights == "bf16":
        dequantize_to_bf16(model)
        level_norms(model)


def level_norms(model: torch.nn.Module) -> None:
    """Let a norm whose bias alone is trained hold its weight in fp32, too, as it was rounded: on a CPU, where a GPU's setup
    may predict, autocast leaves norms their types, and they take but one."""
    for module in model.modules():
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.is_floating_point()]
        if any(p.dtype == torch.float32 for p in own) and all(p.ndim == 1 for p in own):
            for parameter in own:
                parameter.data = parameter.data.float()


def dequantize_to_bf16(model: torch.nn.Module) -> None:
    """Let 4-bit weights become bf16 at once when they are used: of a checkpoint in fp32, they would become fp32 first."""
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            state.dtype = torch.bfloat16


@dataclass
class Clock:
    """Seconds that were spent on something."""

    seconds: float = 0.0


@contextlib.contextmanager
def quantizing_clock(device: torch.device) -> Iterator[Clock]:
    """Adds up what transformers spends on quantizing weights, of all that it does while it loads them."""
    clock = Clock()
    operations: tuple[Any, ...] = (quantizing.Bnb4bitQuantize, quantizing.Bnb8bitQuantize)
    originals = [operation.convert for operation in operations]

    def timed(convert: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            watch = Stopwatch(device)
            try:
                return convert(*args, **kwargs)
            finally:
                clock.seconds += watch.lap()

        return run

    try:
        for operation, original in zip(operations, originals, strict=True):
            operation.convert = timed(original)
        yield clock
    finally:
        for operation, original in zip(operations, originals, strict=True):
            operation.convert = original


def quiet_transformers() -> None:
    """No progress bars and no reports of a head that is fresh by intention."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def keep_weights_trainable(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first evaluation on CPUs with AVX-512 bf16: the repacked
    weights cannot be trained on (matmul_4bit then adds the bias in place), and their kernel computes in bf16."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  (torch types all attributes as modules)
