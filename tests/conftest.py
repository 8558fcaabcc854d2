"""Shared fixtures. Torch runs on one thread: tests run beside each other, and two OpenMP teams on one core spin."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    T5Config,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
    logging,
)

torch.set_num_threads(1)
logging.set_verbosity_error()
logging.disable_progress_bar()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no NVIDIA GPU here"))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tokenized data of tests goes to a folder of their own."""
    os.environ["PEFTCOST_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield


@pytest.fixture(autouse=True)
def as_python_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, called within a process, words errors in its own terms from then on."""
    from peftcost.errors import PeftcostError

    monkeypatch.setattr(PeftcostError, "on_command_line", False)


@pytest.fixture(autouse=True)
def own_device() -> Iterator[None]:
    """Each test that trains chooses its device anew: on a machine with a GPU, Accelerate would stay on the first one's."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import PartialState

        PartialState._reset_state()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real MiniLM."""
    from peftcost.data.builtin import builtin_model

    return builtin_model("minilm")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """A small random BERT with MiniLM's tokenizer, for what does not depend on the weights."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertForSequenceClassification(config).bert.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def prepared(tiny_bert: Path) -> str:
    """Real tweets, tokenized for the tiny BERT."""
    from peftcost.engine.job import NullReporter, prepare_payload
    from peftcost.engine.prepare import prepare
    from peftcost.task.task import Rows, load_task

    task = load_task("builtin:tweets").model_copy(update={"model": str(tiny_bert), "rows": Rows(train=200, dev=60, test=60)})
    return str(prepare(prepare_payload(task, 0, str(tiny_bert), "tiny"), NullReporter())["prepared"])


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    """A small random Llama; its tokenizer is MiniLM's, which is enough for shapes."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    LlamaForSequenceClassification(config).model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(folder)
    return folder


CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def byte_tokenizer(chat_template: str | None) -> PreTrainedTokenizerFast:
    """One token a byte, and a few special ones: what counts can be read from the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    fast.add_special_tokens({"additional_special_tokens": special[1:]})
    fast.chat_template = chat_template
    return fast


@pytest.fixture(scope="session")
def tiny_chat_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random Llama that predicts bytes, with a chat template."""
    folder = tmp_path_factory.mktemp("tiny-chat-lm")
    tokenizer = byte_tokenizer(CHAT_TEMPLATE)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random GPT-2 that predicts bytes, without a chat template."""
    folder = tmp_path_factory.mktemp("tiny-gpt2")
    tokenizer = byte_tokenizer(None)
    torch.manual_seed(0)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=3, n_head=4, n_positions=256, bos_token_id=end, eos_token_id=end
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random ViT for pictures of 8 x 8 pixels, with its processor."""
    folder = tmp_path_factory.mktemp("tiny-vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, image_size=8, patch_size=2
    )
    ViTModel(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random spectrogram transformer for .34 seconds of sound, with its feature extractor."""
    folder = tmp_path_factory.mktemp("tiny-ast")
    torch.manual_seed(0)
    bands, frames = 16, 32
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    patches = {"patch_size": 8, "frequency_stride": 8, "time_stride": 8}
    ASTModel(ASTConfig(**sizes, **patches, num_mel_bins=bands, max_length=frames)).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=bands, max_length=frames).save_pretrained(folder)
    return folder


def save_seq2seq(folder: Path, config: PretrainedConfig) -> Path:
    tokenizer = byte_tokenizer(None)
    torch.manual_seed(0)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config.update({"vocab_size": len(tokenizer), "decoder_start_token_id": tokenizer.pad_token_id, **ids})
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random T5 that reads and writes bytes."""
    config = T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return save_seq2seq(tmp_path_factory.mktemp("tiny-t5"), config)


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BART that reads and writes bytes; its decoder is deeper than its encoder."""
    heads, width = (
        {"encoder_attention_heads": 4, "decoder_attention_heads": 4},
        {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64},
    )
    layers = {"encoder_layers": 2, "decoder_layers": 3, "max_position_embeddings": 128, "forced_eos_token_id": None}
    return save_seq2seq(tmp_path_factory.mktemp("tiny-bart"), BartConfig(d_model=32, **heads, **width, **layers))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window; skips where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium; `apt-get install chromium` brings one")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()
