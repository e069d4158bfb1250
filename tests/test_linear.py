"""Packed products and plain attention against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from pst_cli.models.linear import Affine, Rounded, attend, pack_linears

DTYPES = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 33])
def test_a_packed_product_is_the_linear_one(dtype, rows):
    torch.manual_seed(rows)
    weight, bias = torch.randn(70, 48, dtype=dtype), torch.randn(70, dtype=dtype)
    states = torch.randn(2, rows, 48, dtype=dtype)
    expected = functional.linear(states.double(), weight.double(), bias.double())
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 0.2}[dtype]
    product = Affine(weight, bias)(states)
    assert product.dtype == dtype
    assert torch.allclose(product.double(), expected, atol=tolerance)
    assert torch.equal(Affine(weight, bias).weight, weight)


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
        pack_linears(network)
        assert not any(isinstance(part, torch.nn.Linear) for part in network.modules())
        assert torch.allclose(network(states), before, atol=1e-6)


@pytest.mark.parametrize("seq", [1, 4])
def test_attention_in_two_products_is_the_fused_one(seq):
    torch.manual_seed(seq)
    query, keys, values = (torch.randn(2, 3, n, 16) for n in (seq, 50, 50))
    fused = functional.scaled_dot_product_attention(query, keys, values)
    assert torch.allclose(attend(query, keys, values), fused, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (2, 2), (5, 1), (3, 3)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rounded_product_is_off_by_what_eight_bits_leave_out(shape, bias, dtype):
    torch.manual_seed(1)
    weight, states = torch.randn(70, 64).to(dtype), torch.randn(*shape, 64).to(dtype)
    bias = torch.randn(70).to(dtype) if bias else None
    exact, rounded = Affine(weight, bias)(states), Rounded(weight, bias)(states)
    assert rounded.shape == exact.shape
    assert rounded.dtype == dtype
    error = (rounded - exact).float().norm() / exact.float().norm()
    few = shape[0] * shape[1] <= 4
    assert error < 0.03 if few else error == 0
