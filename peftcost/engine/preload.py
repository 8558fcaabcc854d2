"""What the fork server imports once for all workers. Imports only: an OpenMP region here would hang them."""

import accelerate
import bitsandbytes
import peft
import safetensors.torch
import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

import peftcost.engine.artifact
import peftcost.engine.prepare
import peftcost.engine.probe
import peftcost.engine.step_estimate
import peftcost.engine.train
import peftcost.engine.train_pack
from peftcost.methods import methods

methods()

__all__ = [
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
    "accelerate",
    "bitsandbytes",
    "peft",
    "peftcost",
    "safetensors",
    "torch",
    "transformers",
]
