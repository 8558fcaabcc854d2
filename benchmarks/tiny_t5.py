"""A small T5 base, and real sentences to fine-tune it on: no package brings a pretrained one.

The base is trained here, on tweets, to fill in spans that were left out (Raffel et al. 2020, JMLR 21(140), section 3.1.4).
The task is another one, on other texts: to give BBC news sentences back their capitals and punctuation. It shows that the way
from `init` to `predict` works for an encoder with a decoder, and says nothing of how good a T5 of a hub is.

    python benchmarks/tiny_t5.py restore
    cd restore && peftcost init sentences.csv --model base && peftcost search --budget 5cpu-min
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from advice_real import news
from table_plans import write_csv
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from peftcost.data.builtin import builtin_table
from peftcost.data.readers import read_table

VOCABULARY, SENTINELS = 4000, 20
LEFT_OUT, SPAN = 0.2, 3
"""The share of tokens that is left out, and how many at a time."""
WORDS = range(4, 16)
"""Of the sentences that are fine-tuned on."""


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE, with T5's special tokens."""
    sentinels = [f"<extra_id_{i}>" for i in range(SENTINELS)]
    special = ["<pad>", "</s>", "<unk>", *sentinels]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    end = ("</s>", special.index("</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, additional_special_tokens=sentinels)


def with_gaps(ids: list[int], drawn: random.Random, first_sentinel: int, end: int) -> tuple[list[int], list[int]]:
    """(what is left, with a sentinel for each gap; the sentinels with what belongs there)."""
    left, gone, at, gap = [], [], 0, 0
    while at < len(ids):
        if gap < SENTINELS - 1 and drawn.random() < LEFT_OUT / SPAN:
            left.append(first_sentinel + gap)
            gone += [first_sentinel + gap, *ids[at : at + SPAN]]
            at, gap = at + SPAN, gap + 1
        else:
            left.append(ids[at])
            at += 1
    return [*left, end], [*gone, first_sentinel + gap, end]


def train_base(texts: list[str], tokenizer: PreTrainedTokenizerFast, steps: int, out: Path) -> float:
    """Train a T5 to fill gaps and save it; the mean loss of the last tenth."""
    torch.manual_seed(0)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = T5Config(
        vocab_size=len(tokenizer), d_model=192, d_kv=32, d_ff=512, num_layers=3, num_heads=6, dropout_rate=0.0,
        pad_token_id=pad, eos_token_id=end, decoder_start_token_id=pad,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01, fused=True)
    losses = []
    for step, (inputs, targets) in zip(range(steps), batches(texts, tokenizer), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100, (steps - step) / (0.3 * steps))
        labels = targets.masked_fill(targets == pad, -100)
        loss = model(input_ids=inputs, attention_mask=(inputs != pad).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if (step + 1) % 200 == 0:
            print(f"step {step + 1}: {sum(losses[-200:]) / 200:.3f}", flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return sum(losses[-steps // 10 :]) / len(losses[-steps // 10 :])


def batches(
    texts: list[str], tokenizer: PreTrainedTokenizerFast, rows: int = 32
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless pairs of padded ids: what is left, and what was left out."""
    drawn, coded = random.Random(0), [ids[:-1][:48] for ids in tokenizer(texts)["input_ids"]]
    first, end = tokenizer.convert_tokens_to_ids("<extra_id_0>"), tokenizer.eos_token_id
    while True:
        pairs = [with_gaps(ids, drawn, first, end) for ids in drawn.sample(coded, rows)]
        left, gone = zip(*pairs, strict=True)
        yield padded(left, tokenizer.pad_token_id), padded(gone, tokenizer.pad_token_id)


def padded(rows: Sequence[list[int]], fill: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def sentences() -> list[str]:
    """Short ones of the news, each once."""
    found = dict.fromkeys(
        sentence.strip()
        for row in read_table(str(news().data)).rows
        for sentence in re.split(r"(?<=[.!?])\s+", row["text"])
        if len(sentence.split()) in WORDS and sentence[:1].isupper() and sentence.isascii()
    )
    return list(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes OUT/base and OUT/sentences.csv.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=3000)
    chosen = parser.parse_args()
    tweets = [row["text"] for row in builtin_table("tweets").rows]
    whole = sentences()
    random.Random(0).shuffle(whole)
    pairs = [(re.sub(r"[^a-z0-9 ]", "", sentence.lower()), sentence) for sentence in whole[: chosen.rows]]
    write_csv(chosen.out / "sentences.csv", ("prompt", "completion"), pairs)
    loss = train_base(tweets, tokenizer_of([*tweets, *whole]), chosen.steps, chosen.out / "base")
    print(f"{len(pairs)} sentences; a base whose loss on gaps is {loss:.2f}: {chosen.out}")


if __name__ == "__main__":
    main()
