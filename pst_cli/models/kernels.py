"""A decoder layer for a few tokens, compiled by Numba; `models.compiled` has the types it works on.

States are (tokens, ...) in float32. Importing this takes half a second; the machine code, some
seconds in the making, is kept beside this file, or in the user's cache directory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32, njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pst_cli.models.compiled import Floats, Indices, Memory, Norm, Places, Product, Weights

compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(
    cache=True, fastmath=True, nogil=True, error_model="numpy"
)
EPSILON = float32(1e-5)  # of a norm; PyTorch's own
LOWEST = float32(-3e38)
NEGLIGIBLE = float32(-12.0)  # natural log; a value with less of the largest weight is not read
ROOT_HALF = float32(math.sqrt(0.5))


@compiled
def multiply(product: Product, states: Floats, out: Floats) -> None:
    """`product` of `states`, (tokens, inputs), to `out`, (tokens, outputs).

    Weights are read from four places at once, a quarter of the matrix apart: memory gives 14 GB/s
    so, where it gives 9 row after row. Outputs left over are worked out twice.
    """
    weight, scale, bias = product.weight, product.scale, product.bias
    outputs, size = weight.shape
    quarter = -(-outputs // 4)
    for row in range(quarter):
        second, third = min(row + quarter, outputs - 1), min(row + 2 * quarter, outputs - 1)
        fourth = min(row + 3 * quarter, outputs - 1)
        for token in range(len(states)):
            a = b = c = d = float32(0)
            for column in range(size):
                state = states[token, column]
                a += float32(weight[row, column]) * state
                b += float32(weight[second, column]) * state
                c += float32(weight[third, column]) * state
                d += float32(weight[fourth, column]) * state
            out[token, row] = a * scale[row] + bias[row]
            out[token, second] = b * scale[second] + bias[second]
            out[token, third] = c * scale[third] + bias[third]
            out[token, fourth] = d * scale[fourth] + bias[fourth]


@compiled
def normalise(norm: Norm, states: Floats, out: Floats) -> None:
    """`norm` of `states` to `out`, both (tokens, size)."""
    tokens, size = states.shape
    for token in range(tokens):
        mean = square = float32(0)
        for column in range(size):
            mean += states[token, column]
        mean /= float32(size)
        for column in range(size):
            square += (states[token, column] - mean) ** 2
        by = float32(1) / np.sqrt(square / float32(size) + EPSILON)
        for column in range(size):
            centred = states[token, column] - mean
            out[token, column] = centred * by * norm.weight[column] + norm.bias[column]


@compiled
def attend(query: Floats, keys: Floats, values: Floats, scores: Floats, out: Floats) -> None:
    """One head of one token, (head_dim,), to `out`; `keys` and `values` are (seen, head_dim).

    `scores`, at least (seen,), is room to work in. Keys are read as weights are; see `multiply`.
    """
    seen, size = keys.shape
    scale = float32(size**-0.5)
    quarter = -(-seen // 4)
    for slot in range(quarter):
        second, third = min(slot + quarter, seen - 1), min(slot + 2 * quarter, seen - 1)
        fourth = min(slot + 3 * quarter, seen - 1)
        a = b = c = d = float32(0)
        for column in range(size):
            asked = query[column]
            a += asked * keys[slot, column]
            b += asked * keys[second, column]
            c += asked * keys[third, column]
            d += asked * keys[fourth, column]
        scores[slot], scores[second] = a * scale, b * scale
        scores[third], scores[fourth] = c * scale, d * scale
    most = LOWEST
    for slot in range(seen):
        most = max(most, scores[slot])
    total = float32(0)
    out[:] = float32(0)
    for slot in range(seen):
        below = scores[slot] - most
        if below > NEGLIGIBLE:
            share = np.exp(below)
            total += share
            for column in range(size):
                out[column] += share * values[slot, column]
    for column in range(size):
        out[column] /= total


@compiled
def add(product: Product, given: Floats, states: Floats) -> None:
    """`product` of `given`, (tokens, inputs), to what `states`, (tokens, outputs), are already."""
    more = np.empty_like(states)
    multiply(product, given, more)
    for token in range(len(states)):
        for column in range(states.shape[1]):
            states[token, column] += more[token, column]


@compiled
def remember(fused: Floats, memory: Memory, layer: int, places: Places) -> None:
    """Write keys and values of `fused`, (tokens, 3 * size), to the slots where its tokens stand."""
    keys, values = memory.keys, memory.values
    heads, dim = keys.shape[1], keys.shape[4]
    size = heads * dim
    for token in range(len(fused)):
        row, slot = places.rows[token], places.slots[token]
        for head in range(heads):
            first = head * dim
            for column in range(dim):
                keys[row, head, layer, slot, column] = fused[token, size + first + column]
                values[row, head, layer, slot, column] = fused[token, 2 * size + first + column]


@compiled
def look(
    query: Floats,
    keys: Floats,
    values: Floats,
    owners: Indices,
    seen: Indices,
    first: int,
    out: Floats,
) -> None:
    """Attention, (tokens, size) to (tokens, size), of each token to as many slots as it has `seen`.

    `keys` and `values` are (owners, lanes, slots, head_dim), of which the heads are every so many
    lanes from the `first`; `owners` and `seen` are (tokens,).
    """
    lanes, slots, dim = keys.shape[1:]
    heads = out.shape[1] // dim
    scores = np.empty(slots, np.float32)
    for token in range(len(out)):
        owner, count = owners[token], seen[token]
        for head in range(heads):
            lane, part = first + head * (lanes // heads), slice(head * dim, (head + 1) * dim)
            own_keys, own_values = keys[owner, lane, :count], values[owner, lane, :count]
            attend(query[token, part], own_keys, own_values, scores, out[token, part])


@compiled
def gelu(states: Floats) -> None:
    """GELU of `states`, (tokens, size), in place: the exact one, as Whisper has it."""
    for token in range(len(states)):
        for column in range(states.shape[1]):
            state = states[token, column]
            states[token, column] *= float32(0.5) * (float32(1) + math.erf(state * ROOT_HALF))


@compiled
def run(weights: Weights, states: Floats, memory: Memory, layer: int, places: Places) -> None:
    """`states`, (tokens, size), after the layer, in place; its `memory` is read and filled."""
    tokens = len(states)
    normed, mixed, query = np.empty_like(states), np.empty_like(states), np.empty_like(states)
    fused = np.empty((tokens, len(weights.self_qkv.weight)), np.float32)
    inner = np.empty((tokens, len(weights.ffn_in.weight)), np.float32)

    normalise(weights.self_norm, states, normed)
    multiply(weights.self_qkv, normed, fused)
    remember(fused, memory, layer, places)
    rows, heads, layers, slots, dim = memory.keys.shape
    lanes = (rows, heads * layers, slots, dim)  # a view: attention wants slots side by side
    own_keys, own_values = memory.keys.reshape(lanes), memory.values.reshape(lanes)
    look(fused, own_keys, own_values, places.rows, places.slots + 1, layer, mixed)
    add(weights.self_out, mixed, states)

    normalise(weights.cross_norm, states, normed)
    multiply(weights.cross_query, normed, query)
    far_keys, far_values = memory.cross_keys[layer], memory.cross_values[layer]
    look(query, far_keys, far_values, places.windows, places.frames, 0, mixed)
    add(weights.cross_out, mixed, states)

    normalise(weights.ffn_norm, states, normed)
    multiply(weights.ffn_in, normed, inner)
    gelu(inner)
    add(weights.ffn_out, inner, states)
