"""Products in every layout and plain attention against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from pst_cli.models.attention import attend
from pst_cli.models.linear import Affine, freeze_linears
from pst_cli.models.products import (
    PIECE,
    DynamicInt8,
    Float16,
    OneDNN,
    Plain,
    WeightInt8,
    approximate,
    exact,
    packed,
)

EXACT = [exact, packed, Plain]
FBGEMM = "fbgemm" in torch.backends.quantized.supported_engines


def published(*shape):
    """Weights that 16 bits hold, as those of a published Whisper."""
    return torch.randn(*shape).half().float()


@pytest.mark.parametrize("layout", EXACT)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 5, 33])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [torch.randn, published])
def test_a_product_is_the_linear_one(layout, dtype, rows, bias, make):
    torch.manual_seed(rows)
    weight, states = make(70, 48).to(dtype), torch.randn(2, rows, 48, dtype=dtype)
    bias = torch.randn(70, dtype=dtype) if bias else None
    whole = None if bias is None else bias.double()
    expected = functional.linear(states.double(), weight.double(), whole)
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 0.2}[dtype]
    product = layout(weight, bias)
    assert product(states).dtype == dtype
    assert torch.allclose(product(states).double(), expected, atol=tolerance)
    assert torch.equal(product.weight, weight)
    aslant = states.transpose(0, 1)  # of no layout that a product could rely on
    assert torch.allclose(product(aslant).double(), expected.transpose(0, 1), atol=tolerance)


@pytest.mark.parametrize("layout", [exact, packed, approximate])
def test_a_matrix_of_many_outputs_is_one_product_too(layout):
    torch.manual_seed(3)
    weight, bias = published(PIECE + 5, 16), torch.randn(PIECE + 5)
    states = torch.randn(3, 16)
    expected = functional.linear(states, weight, bias)
    error = (layout(weight, bias)(states) - expected).norm() / expected.norm()
    assert error < (0.03 if layout is approximate else 1e-6)


@pytest.mark.skipif(not FBGEMM, reason="this processor has no FBGEMM")
def test_weights_are_kept_in_sixteen_bits_where_that_loses_nothing():
    weight = published(8, 8)
    assert isinstance(exact(weight, None), Float16)
    assert isinstance(packed(weight, None), OneDNN)
    for other in (weight + 1e-5, weight * 1e6, weight.bfloat16()):
        assert not isinstance(exact(other, None), Float16)
        assert torch.equal(exact(other, None).weight, other)
    assert isinstance(approximate(weight, None), DynamicInt8)


def test_a_fused_product_is_its_parts_end_to_end_and_a_missing_bias_is_zero():
    torch.manual_seed(1)
    state = {f"attn.{name}_proj.weight": torch.randn(8, 8) for name in "qk"}
    state["attn.q_proj.bias"] = torch.randn(8)
    states = torch.randn(1, 3, 8)
    q, k = Affine.fused(state, "attn", "qk")(states).chunk(2, -1)
    assert torch.allclose(q, Affine.read(state, "attn.q_proj")(states), atol=1e-6)
    assert torch.allclose(k, functional.linear(states, state["attn.k_proj.weight"]), atol=1e-6)


def test_packing_a_network_leaves_what_it_says():
    torch.manual_seed(2)
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 12), torch.nn.GELU(), torch.nn.Sequential(torch.nn.Linear(12, 3))
    )
    states = torch.randn(4, 6)
    with torch.inference_mode():
        before = network(states)
        freeze_linears(network, exact)
        assert not any(isinstance(part, torch.nn.Linear) for part in network.modules())
        assert torch.allclose(network(states), before, atol=1e-6)


@pytest.mark.parametrize("seq", [1, 4])
def test_attention_in_two_products_is_the_fused_one(seq):
    torch.manual_seed(seq)
    query, keys, values = (torch.randn(2, 3, n, 16) for n in (seq, 50, 50))
    fused = functional.scaled_dot_product_attention(query, keys, values)
    assert torch.allclose(attend(query, keys, values), fused, atol=1e-6)


EIGHT_BITS = [
    (approximate, torch.float32),
    (approximate, torch.bfloat16),
    (WeightInt8, torch.float32),
    (WeightInt8, torch.bfloat16),
    *([(DynamicInt8, torch.float32)] if FBGEMM else []),
]


@pytest.mark.parametrize(("layout", "dtype"), EIGHT_BITS)
@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (2, 2), (5, 1), (3, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_an_approximate_product_is_off_by_what_eight_bits_leave_out(layout, dtype, shape, bias):
    torch.manual_seed(1)
    weight, states = torch.randn(70, 64).to(dtype), torch.randn(*shape, 64).to(dtype)
    bias = torch.randn(70).to(dtype) if bias else None
    expected, product = exact(weight, bias)(states), layout(weight, bias)
    rounded = product(states)
    assert rounded.shape == expected.shape
    assert rounded.dtype == dtype
    error = (rounded - expected).float().norm() / expected.float().norm()
    many = shape[0] * shape[1] > 4
    assert error == 0 if isinstance(product, WeightInt8) and many else error < 0.03
    assert (product.weight - weight).float().norm() / weight.float().norm() < 0.01
