"""Every method on every architecture: trained, saved and reloaded elsewhere with another seed, it predicts the same; or it
is refused with a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from quick_part import quick

from peftcost.core.setup import Setup
from peftcost.engine.base_model import BaseSpec, load_base
from peftcost.engine.dataset import DatasetInfo
from peftcost.engine.train_state import TrainState, build
from peftcost.methods import get_method, methods
from peftcost.methods.head import fresh_modules
from peftcost.tasks import get_task_type
from peftcost.tasks.targets import Classes, Targets, Tokens

LABELS = ("a", "b", "c")
TEXT, IMAGE, TAGS = "text-classification", "image-classification", "token-classification"
AUDIO = "audio-classification"
CAUSAL, SEQ2SEQ = "causal-lm", "seq2seq"
WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VOCABULARY = {"vocab_size": 120, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
END = VOCABULARY["eos_token_id"]


@dataclass(frozen=True)
class Architecture:
    """saved_as: the class whose checkpoint people have. fresh: what loading makes anew. task: of what kind of inputs."""

    config: transformers.PretrainedConfig
    saved_as: str
    fresh: tuple[str, ...]
    task: str = TEXT


ARCHITECTURES = {
    "bert": Architecture(transformers.BertConfig(**WIDTH, **VOCABULARY), "AutoModel", ("classifier",)),
    "bert without pooler": Architecture(
        transformers.BertConfig(**WIDTH, **VOCABULARY), "AutoModelForMaskedLM", ("bert.pooler", "classifier")
    ),
    "bert with a classifier": Architecture(
        transformers.BertConfig(**WIDTH, **VOCABULARY, num_labels=3), "AutoModelForSequenceClassification", ("classifier",)
    ),
    "bert with another classifier": Architecture(
        transformers.BertConfig(**WIDTH, **VOCABULARY, num_labels=5), "AutoModelForSequenceClassification", ("classifier",)
    ),
    "roberta": Architecture(transformers.RobertaConfig(**WIDTH, **VOCABULARY), "AutoModelForMaskedLM", ("classifier",)),
    "deberta-v2": Architecture(
        transformers.DebertaV2Config(**WIDTH, **VOCABULARY), "AutoModelForMaskedLM", ("pooler", "classifier")
    ),
    "albert": Architecture(
        transformers.AlbertConfig(**WIDTH, **VOCABULARY, embedding_size=16), "AutoModel", ("classifier",)
    ),
    "electra": Architecture(
        transformers.ElectraConfig(**WIDTH, **VOCABULARY, embedding_size=16), "AutoModel", ("classifier",)
    ),
    "modernbert": Architecture(
        transformers.ModernBertConfig(**WIDTH, **VOCABULARY), "AutoModel", ("head", "classifier")
    ),
    "mpnet": Architecture(transformers.MPNetConfig(**WIDTH, **VOCABULARY), "AutoModelForMaskedLM", ("classifier",)),
    "xlnet": Architecture(
        transformers.XLNetConfig(d_model=32, n_layer=2, n_head=2, d_inner=64, **VOCABULARY),
        "AutoModel",
        ("sequence_summary", "logits_proj"),
    ),
    "t5": Architecture(
        transformers.T5Config(
            d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0, **VOCABULARY
        ),
        "AutoModelForSeq2SeqLM",
        ("classification_head",),
    ),
    "bart": Architecture(
        transformers.BartConfig(
            d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, decoder_start_token_id=2, **VOCABULARY,
        ),
        "AutoModel",
        ("classification_head",),
    ),
    "gpt2": Architecture(
        transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **VOCABULARY),
        "AutoModelForCausalLM",
        ("score",),
    ),
    "llama": Architecture(transformers.LlamaConfig(**WIDTH, **VOCABULARY), "AutoModelForCausalLM", ("score",)),
    "distilbert": Architecture(
        transformers.DistilBertConfig(vocab_size=120, dim=32, n_layers=2, n_heads=2, hidden_dim=64, pad_token_id=0),
        "AutoModelForMaskedLM",
        ("pre_classifier", "classifier"),
    ),
    "luke": Architecture(
        transformers.LukeConfig(**WIDTH, **VOCABULARY, entity_vocab_size=10, entity_emb_size=8),
        "AutoModel",
        ("classifier",),
    ),
    "fnet": Architecture(
        transformers.FNetConfig(hidden_size=32, num_hidden_layers=2, intermediate_size=64, **VOCABULARY),
        "AutoModel",
        ("classifier",),
    ),
    "canine": Architecture(
        transformers.CanineConfig(**WIDTH, num_hash_buckets=64, num_hash_functions=2, local_transformer_stride=4),
        "AutoModel",
        ("classifier",),
    ),
    "bloom": Architecture(
        transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=2, **VOCABULARY), "AutoModelForCausalLM", ("score",)
    ),
    "vit": Architecture(
        transformers.ViTConfig(**WIDTH, image_size=16, patch_size=8), "AutoModel", ("classifier",), IMAGE
    ),
    "vit with another classifier": Architecture(
        transformers.ViTConfig(**WIDTH, image_size=16, patch_size=8, num_labels=5), "AutoModelForImageClassification",
        ("classifier",), IMAGE,
    ),
    "swin": Architecture(
        transformers.SwinConfig(
            image_size=16, patch_size=2, embed_dim=16, depths=[1, 2], num_heads=[2, 2], window_size=2
        ),
        "AutoModel", ("classifier",), IMAGE,
    ),
    "convnext": Architecture(
        transformers.ConvNextConfig(hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 2, 1], image_size=32),
        "AutoModel", ("classifier",), IMAGE,
    ),
    "resnet": Architecture(
        transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
        "AutoModel", ("classifier",), IMAGE,
    ),
    "ast": Architecture(
        transformers.ASTConfig(**WIDTH, patch_size=8, frequency_stride=8, time_stride=8, num_mel_bins=16, max_length=32),
        "AutoModel", ("classifier",), AUDIO,
    ),
    "wav2vec2": Architecture(
        transformers.Wav2Vec2Config(
            **WIDTH, **VOCABULARY, conv_dim=[8, 8], conv_stride=[5, 4], conv_kernel=[10, 8], num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2, classifier_proj_size=16, use_weighted_layer_sum=True,
        ),
        "AutoModel", ("projector", "classifier"), AUDIO,
    ),
    "whisper": Architecture(
        transformers.WhisperConfig(
            d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=16, max_source_positions=20, classifier_proj_size=16,
            vocab_size=120, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        ),
        "AutoModel", ("projector", "classifier"), AUDIO,
    ),
}  # fmt: skip
LLAMA, GPT2, BERT, T5, BART = (ARCHITECTURES[name].config for name in ("llama", "gpt2", "bert", "t5", "bart"))
ARCHITECTURES |= {
    "bert for tags": Architecture(BERT, "AutoModelForMaskedLM", ("classifier",), TAGS),
    "llama for tags": Architecture(LLAMA, "AutoModelForCausalLM", ("score",), TAGS),
    "mamba as a language model": Architecture(
        transformers.MambaConfig(**VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2),
        "AutoModelForCausalLM", (), CAUSAL,
    ),
    "gpt2 as a language model": Architecture(GPT2, "AutoModelForCausalLM", (), CAUSAL),
    "llama as a language model": Architecture(LLAMA, "AutoModelForCausalLM", (), CAUSAL),
    "t5 as it is": Architecture(T5, "AutoModelForSeq2SeqLM", (), SEQ2SEQ),
    "bart as it is": Architecture(BART, "AutoModelForSeq2SeqLM", (), SEQ2SEQ),
}  # fmt: skip
NO_CACHE, NO_OUTPUTS = "before those of attention, and it takes none; use lora", "no known block outputs"
BOTH = "an encoder and a decoder"
NO_TEXT = [name for name, architecture in ARCHITECTURES.items() if architecture.task in (IMAGE, AUDIO)]
TWO_STACKS = ("t5", "bart", "t5 as it is", "bart as it is", "whisper")
LLAMAS = [name for name in ARCHITECTURES if name.startswith("llama")]
HEADED = [name for name, architecture in ARCHITECTURES.items() if architecture.task in (CAUSAL, SEQ2SEQ)]
REFUSED = {
    **{("prefix", name): NO_CACHE for name in ("deberta-v2", "albert", "modernbert", "mpnet", "xlnet", "distilbert", "luke")},
    **{("houlsby", name): NO_OUTPUTS for name in ("albert", "modernbert", "xlnet", "t5", "t5 as it is")},
    **{("frozen", name): "base brings its own head" for name in HEADED},
    **{("ia3", name): "no key and value layers" for name in ("xlnet", "fnet", "mamba as a language model")},
    **{("prefix", name): "this base has none" for name in ("fnet", "mamba as a language model")},
    **{(method, "mamba as a language model"): "past their layers" for method in ("int8-lora", "nf4-lora")},
    **{(method, "canine"): "has no vocabulary" for method in ("prefix", "prompt")},
    **{(method, name): "virtual tokens before a text" for method in ("prefix", "prompt") for name in NO_TEXT},
    **{(method, name): BOTH for method in ("prefix", "prompt") for name in TWO_STACKS},
    **{(method, "resnet"): "no linear layer" for method in ("lora", "adalora", "nf4-lora", "ia3", "houlsby")},
    ("ia3", "convnext"): "no key and value layers",
    ("houlsby", "convnext"): NO_OUTPUTS,
    **{("int8-lora", name): "take no feature maps" for name in ("convnext", "resnet")},
    **{("bitfit", name): "have no biases to train" for name in ("modernbert", *LLAMAS)},
    ("bitfit", "t5 as it is"): "this base has no biases",
}
"""A part of the sentence with which a method refuses an architecture."""


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    architecture = ARCHITECTURES[request.param]
    torch.manual_seed(7)
    model = getattr(transformers, architecture.saved_as).from_config(architecture.config)
    folder = tmp_path_factory.mktemp("architecture")
    model.save_pretrained(folder)
    (folder / "task").write_text(architecture.task)
    return folder


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def spec_of(folder: Path, quantization: str | None = None) -> BaseSpec:
    kind = get_task_type(task_of(folder))
    options = kind.model_options(targets_of(folder))
    return BaseSpec(str(folder), kind.auto_model, options, kind.fresh_head, quantization=quantization)


def targets_of(folder: Path) -> Targets:
    return Classes(LABELS) if get_task_type(task_of(folder)).fresh_head else Tokens()


def task_of(folder: Path) -> str:
    return (folder / "task").read_text()


def inputs(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    if getattr(model, "main_input_name", "") == "pixel_values":
        size = getattr(model.config, "image_size", 32)
        return {"pixel_values": torch.rand((4, 3, size, size), generator=torch.Generator().manual_seed(0))}
    if getattr(model, "main_input_name", "") == "input_values":
        shape = (model.config.max_length, model.config.num_mel_bins) if hasattr(model.config, "num_mel_bins") else (800,)
        return {"input_values": torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))}
    if getattr(model, "main_input_name", "") == "input_features":
        shape = (model.config.num_mel_bins, 2 * model.config.max_source_positions)
        return {"input_features": torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))}
    ids = torch.randint(5, 100, (4, 9), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = END
    mask = torch.ones_like(ids)
    ids[3, 6:], mask[3, 6:] = 0, 0
    ids[3, 5] = END
    found = {"input_ids": ids, "attention_mask": mask}
    return found | {"decoder_input_ids": ids[:, :5]} if writes(model) else found


def writes(model: torch.nn.Module) -> bool:
    """Whether it has a decoder whose words are asked for."""
    return model.config.is_encoder_decoder and model.get_output_embeddings() is not None


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(**inputs(model)).logits.float()
    return found


def trained(name: str, folder: Path) -> TrainState:
    method = get_method(name)
    setup = Setup.of(name, {**method.prior(), "learning_rate": 1e-2}, 64)
    info = DatasetInfo(str(folder), task_of(folder), "accuracy", targets_of(folder), {"input_ids": 0}, 60, 60)
    train_state = build(setup, 1, info, 4)
    train_state.model.train()
    for step in range(4):
        out = train_state.model(**inputs(train_state.model)).logits.float()
        torch.nn.functional.cross_entropy(out.flatten(1), torch.tensor([0, 1, 2, 0])).backward()
        train_state.optimizer.step()
        method.after_step(train_state.plain, step)
        train_state.optimizer.zero_grad()
    return train_state


@pytest.mark.parametrize("folder", ARCHITECTURES, indirect=True)
def test_the_head_is_what_loading_makes_anew(folder: Path, request: pytest.FixtureRequest) -> None:
    architecture = ARCHITECTURES[request.node.callspec.params["folder"]]
    spec = spec_of(folder)
    one, again, other = (load_base(spec, seed) for seed in (1, 1, 2))
    assert fresh_modules(one) == architecture.fresh
    is_fresh: Any = tuple(f"{name}." for name in architecture.fresh)
    for (name, a), b, c in zip(one.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        if not name.startswith(is_fresh):
            assert torch.equal(a, c), name
    weights = [n for n, p in one.named_parameters() if n.startswith(is_fresh) and p.ndim == 2]
    assert all(not torch.equal(one.get_parameter(n), other.get_parameter(n)) for n in weights)


@pytest.mark.parametrize("name", quick(methods(), "full", "frozen", "lora", "prompt"))
@pytest.mark.parametrize("folder", ARCHITECTURES, indirect=True)
def test_reloaded_with_another_seed_it_predicts_the_same(
    folder: Path, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    refusal = REFUSED.get((name, request.node.callspec.params["folder"]))
    if refusal is not None:
        with pytest.raises(Exception, match=refusal):
            trained(name, folder)
        return
    train_state = trained(name, folder)
    method, before = train_state.method, logits(train_state.model)
    (tmp_path / "model").mkdir()
    method.save(train_state.plain, tmp_path / "model")
    spec = spec_of(folder, method.quantization)
    reloaded = method.load(load_base(spec, 99), tmp_path / "model")
    assert torch.allclose(logits(reloaded), before, atol=2e-3 if method.quantization else 1e-5)
