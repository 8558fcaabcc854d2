"""Which tokens speak for what a model says: integrated gradients (Sundararajan et al. 2017) by Captum, of a few examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from peftcost.core.setup import Setup
from peftcost.data.features import Split
from peftcost.engine.artifact import load_artifact
from peftcost.engine.dataset import Collator, load_dataset_info, load_split
from peftcost.engine.job import Reporter
from peftcost.engine.judged import as_trained
from peftcost.engine.train_state import collator_for
from peftcost.errors import UserError
from peftcost.methods import get_method

STEPS, AT_ONCE = 50, 10
"""Points between the empty text and the example, and how many of them are computed together."""


def attribute(payload: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Write a JSON file. payload: prepared, setup, seed, out (the folder of a training), examples (indices of dev), file.

    Of each example the tokens, and of each token how much it raises the logit of the predicted class over that of an empty
    text. They sum to the difference of the two. UserError without Captum.
    """
    try:
        import captum.attr
    except ImportError as error:
        raise UserError("Attributions need Captum; install it with `pip install captum`.") from error
    reporter.phase("test")
    setup, prepared, out = Setup.from_dict(payload["setup"]), Path(payload["prepared"]), Path(payload["out"])
    info = as_trained(load_dataset_info(prepared), out)
    model, device = load_artifact(out / "model", setup, info, payload["seed"])
    collator, dev = collator_for(info, get_method(setup.method), setup.hyperparameters), load_split(prepared, "dev")
    processor = info.task_type.processor(info.model)
    embeddings: torch.nn.Module = model.get_input_embeddings()  # type: ignore[operator]  # torch types it as a tensor
    gradients = captum.attr.LayerIntegratedGradients(Logits(model), embeddings)
    found = [
        {"example": index, **token_scores(gradients, processor, dev, collator, index, device)}
        for index in payload["examples"]
    ]
    Path(payload["file"]).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return {}


class Logits(torch.nn.Module):
    """A model as Captum calls it: token ids first, then the other inputs in the order of their names."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.names = model, ()

    def forward(self, input_ids: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, **dict(zip(self.names, others, strict=True))).logits
        return logits


def token_scores(
    gradients: Any, processor: Any, dev: Split, collator: Collator, index: int, device: torch.device
) -> dict[str, Any]:
    """tokens, scores, and the id of the class that is predicted."""
    inputs = dict(collator.batch(dev, [index]).to(device).inputs)
    ids, logits = inputs.pop("input_ids"), gradients.forward_func
    logits.names = tuple(inputs)
    with torch.inference_mode():
        predicted = int(logits(ids, *inputs.values()).argmax(dim=-1))
    tokens = ids[0].tolist()
    special = torch.tensor(processor.get_special_tokens_mask(tokens, already_has_special_tokens=True), device=device)
    empty = torch.where(special.bool(), ids, torch.full_like(ids, processor.pad_token_id))
    scores = gradients.attribute(
        ids,
        baselines=empty,
        additional_forward_args=tuple(inputs.values()),
        target=predicted,
        n_steps=STEPS,
        internal_batch_size=AT_ONCE,
    )
    return {
        "tokens": processor.convert_ids_to_tokens(tokens),
        "special": special.bool().tolist(),
        "scores": scores.sum(dim=-1)[0].tolist(),
        "predicted": predicted,
    }
