"""A small ViT base for pictures, and pictures of other classes to fine-tune it on; both of Fashion-MNIST.

No package brings a pretrained ViT. So the base is trained here, on the first five classes (T-shirt to coat), and the data to
fine-tune on are pictures of the other five (sandal to ankle boot), as one folder a class. The base is no more than that: it
shows that everything works, not how good a ViT of a hub is.

    apt-get install dataset-fashion-mnist
    python benchmarks/fashion_mnist.py fashion
    cd fashion && peftcost init pictures && peftcost search --model base --budget 5cpu-min
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

PACKAGE = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
OF_BASE = 5
"""The first classes train the base; the others are left to fine-tune on."""
SIDE = 28


def pictures(split: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(pixels of shape (n, 28, 28), class ids) of train or t10k."""
    raw = gzip.decompress((folder / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=16).reshape(-1, SIDE, SIDE), np.frombuffer(labels, np.uint8, offset=8)


def train_base(pixels: np.ndarray, labels: np.ndarray, epochs: int, out: Path) -> float:
    """Train a ViT on these and save it; the share of them that it gets right in the last epoch."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=256, image_size=SIDE, patch_size=7,
        num_labels=OF_BASE,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    right = 0.0
    for epoch in range(epochs):
        hits = []
        for x, y in batches(pixels, labels, epoch):
            logits = model(pixel_values=x).logits
            cross_entropy(logits, y).backward()
            optimizer.step()
            optimizer.zero_grad()
            hits.append(float((logits.argmax(-1) == y).float().mean()))
        right = float(np.mean(hits))
        print(f"epoch {epoch + 1}: {right:.3f} right")
    model.vit.save_pretrained(out)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(out)
    return right


def batches(pixels: np.ndarray, labels: np.ndarray, seed: int, rows: int = 64) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled, the numbers as the processor makes them: three equal channels from -1 to 1."""
    order = np.random.default_rng(seed).permutation(len(pixels))
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        x = torch.from_numpy(pixels[chosen].astype(np.float32) / 127.5 - 1)
        yield x[:, None].expand(-1, 3, -1, -1), torch.from_numpy(labels[chosen].astype(np.int64))


def write_folders(pixels: np.ndarray, labels: np.ndarray, each: int, out: Path) -> None:
    """The first `each` pictures of every class that the base does not know, as out/CLASS/NUMBER.png."""
    for label in range(OF_BASE, len(CLASSES)):
        folder = out / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        for number in np.flatnonzero(labels == label)[:each]:
            Image.fromarray(pixels[number]).save(folder / f"{number:05}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder: OUT/base is the base, OUT/pictures the data")
    parser.add_argument("--data", type=Path, default=PACKAGE, help="where the four .gz files are")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--base-rows", type=int, default=12_000)
    parser.add_argument("--each", type=int, default=300, help="pictures of each class in train; half as many in test")
    given = parser.parse_args()
    pixels, labels = pictures("train", given.data)
    write_folders(pixels, labels, given.each, given.out / "pictures" / "train")
    write_folders(*pictures("t10k", given.data), given.each // 2, given.out / "pictures" / "test")
    known = np.flatnonzero(labels < OF_BASE)[: given.base_rows]
    train_base(pixels[known], labels[known], given.epochs, given.out / "base")


if __name__ == "__main__":
    main()
