"""A small spectrogram transformer, and recorded drums to fine-tune it on; both of the drum kits of Hydrogen.

No package brings a pretrained model for sounds. So the base is trained here, to tell from which of half of the kits a
sound is; the data to fine-tune on are the sounds of the other half, as one folder an instrument, which the files' names tell.
The base is no more than that: it shows that everything works, not how good a model of a hub is.

    apt-get install hydrogen-drumkits
    python benchmarks/drum_sounds.py drums
    cd drums && peftcost init sounds && peftcost search --model base --budget 5cpu-min
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from peftcost.data.sounds import ENDINGS, heard

KITS = Path("/usr/share/hydrogen/data/drumkits")
INSTRUMENTS = {
    "kick": ("kick", "bass", "bd"),
    "snare": ("snare", "sd", "rim", "stick"),
    "hat": ("hat", "hh"),
    "tom": ("tom",),
    "cymbal": ("crash", "ride", "cymbal", "splash", "china"),
}
"""What the names of the files of an instrument hold; the first that fits counts."""
FRAMES, BANDS, RATE = 64, 64, 16_000
"""Of a spectrogram: .66 seconds."""


def instrument_of(file: Path) -> str | None:
    name = file.stem.lower()
    return next((kind for kind, parts in INSTRUMENTS.items() if any(part in name for part in parts)), None)


def train_base(files: list[Path], epochs: int, out: Path) -> float:
    """Train a model to tell of which kit each file is, and save it; the share that it gets right in the last epoch."""
    torch.manual_seed(0)
    kits = sorted({kit_of(file) for file in files})
    extractor = ASTFeatureExtractor(num_mel_bins=BANDS, max_length=FRAMES)
    waves = [heard(str(file), RATE) for file in files]
    x = torch.from_numpy(extractor(waves, sampling_rate=RATE, return_tensors="np")["input_values"]).float()
    y = torch.tensor([kits.index(kit_of(file)) for file in files])
    config = ASTConfig(
        hidden_size=128, num_hidden_layers=6, num_attention_heads=4, intermediate_size=256, patch_size=16,
        num_labels=len(kits), frequency_stride=16, time_stride=16, num_mel_bins=BANDS, max_length=FRAMES,
    )  # fmt: skip
    model = ASTForAudioClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05)
    right = 0.0
    for epoch in range(epochs):
        hits = []
        for chosen in np.array_split(np.random.default_rng(epoch).permutation(len(files)), -(-len(files) // 32)):
            logits = model(input_values=x[chosen]).logits
            cross_entropy(logits, y[chosen]).backward()
            optimizer.step()
            optimizer.zero_grad()
            hits.append(float((logits.argmax(-1) == y[chosen]).float().mean()))
        right = float(np.mean(hits))
    model.audio_spectrogram_transformer.save_pretrained(out)
    extractor.save_pretrained(out)
    return right


def kit_of(file: Path) -> str:
    return file.relative_to(KITS).parts[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder: OUT/base is the base, OUT/sounds the data")
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    files = sorted(path for path in KITS.rglob("*") if path.suffix.lower() in ENDINGS)
    kits = sorted({kit_of(file) for file in files}, key=lambda kit: -sum(kit_of(file) == kit for file in files))
    of_base = set(kits[::2])
    for number, file in enumerate(file for file in files if kit_of(file) not in of_base):
        label = instrument_of(file)
        if label is not None:
            folder = given.out / "sounds" / label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / f"{number:04}{file.suffix.lower()}")
    right = train_base([file for file in files if kit_of(file) in of_base], given.epochs, given.out / "base")
    print(f"the base tells {len(of_base)} kits apart in {right:.0%} of its own sounds")


if __name__ == "__main__":
    main()
