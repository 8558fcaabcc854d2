"""What stand-ins for bitsandbytes' layers keep between forward and backward."""

from __future__ import annotations

import weakref

import pytest
import torch

from peftcost.engine.quantized import QuantizedLinear


@pytest.mark.parametrize(("kind", "device_kind"), [("int8", "cpu"), ("int8", "cuda"), ("nf4", "cuda")])
@pytest.mark.parametrize("needs_gradient", [True, False])
def test_8_bit_layers_keep_their_input_for_the_backward_pass(kind: str, device_kind: str, needs_gradient: bool) -> None:
    layer = QuantizedLinear(torch.nn.Linear(4, 8), kind, device_kind, lambda n: None)
    before = torch.ones(2, 4, requires_grad=needs_gradient)
    x = before + 1
    kept = weakref.ref(x)
    out = layer(x)
    del x
    assert out.shape == (2, 8)
    assert (kept() is not None) == (kind == "int8" and needs_gradient)
