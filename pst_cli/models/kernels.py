"""Decoder layers for a few tokens, compiled by Numba; `models.compiled` has the types they work on.

States are (tokens, ...) in float32, memory is in the host's numbers. Importing this takes half a
second; the machine code, some seconds in the making, is kept beside it, or in the user's cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import float32, njit

from pst_cli.models.bits import narrowed, widened
from pst_cli.models.compiled import Places, Remembered

if TYPE_CHECKING:
    from collections.abc import Callable

    from pst_cli.models.compiled import (
        Bytes,
        Cells,
        Floats,
        Indices,
        Memory,
        Norm,
        Product,
        Stack,
        Table,
        Weights,
    )

compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(
    cache=True, fastmath=True, nogil=True, error_model="numpy"
)
EPSILON = float32(1e-5)  # of a norm; PyTorch's own
LOWEST = float32(-3e38)
NEGLIGIBLE = float32(-12.0)  # natural log; a value with less of the largest weight is not read
SMALLEST = float32(1e-8)
BYTE = float32(127)  # the largest of 8 bits with a sign
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
def attend(query: Floats, memory: Remembered, scores: Floats, out: Floats) -> None:
    """One head of one token, (head_dim,), to `out`, over what is remembered for that head alone.

    `scores`, at least (seen,), is room to work in. Keys are read as weights are; see `multiply`.
    """
    keys, values, key_scale, value_scale = memory
    seen, size = keys.shape
    scale = float32(size**-0.5)
    quarter = -(-seen // 4)
    for slot in range(quarter):
        second, third = min(slot + quarter, seen - 1), min(slot + 2 * quarter, seen - 1)
        fourth = min(slot + 3 * quarter, seen - 1)
        a = b = c = d = float32(0)
        for column in range(size):
            asked = query[column]
            a += asked * widened(keys[slot, column])
            b += asked * widened(keys[second, column])
            c += asked * widened(keys[third, column])
            d += asked * widened(keys[fourth, column])
        scores[slot], scores[second] = a * scale * key_scale[slot], b * scale * key_scale[second]
        scores[third], scores[fourth] = c * scale * key_scale[third], d * scale * key_scale[fourth]
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
            share *= value_scale[slot]
            for column in range(size):
                out[column] += share * widened(values[slot, column])
    for column in range(size):
        out[column] /= total


@compiled
def shrink(states: Cells, layers: Indices) -> tuple[Bytes, Floats]:
    """Some `layers` of `states`, (layers, windows, heads, frames, head_dim), in 8 bits.

    With what gives them back, (layers, windows, heads, frames). It is `products.rounded` over
    head_dim, which takes 6 ms for two layers of 10 s where this takes half of one.
    """
    windows, heads, frames, dim = states.shape[1:]
    whole = np.empty((len(layers), windows, heads, frames, dim), np.int8)
    scale = np.empty((len(layers), windows, heads, frames), np.float32)
    for index in range(len(layers)):
        for window in range(windows):
            for head in range(heads):
                for frame in range(frames):
                    given = states[layers[index], window, head, frame]
                    most = SMALLEST
                    for column in range(dim):
                        most = max(most, abs(widened(given[column])))
                    scale[index, window, head, frame] = most / BYTE
                    for column in range(dim):
                        share = widened(given[column]) / most * BYTE
                        whole[index, window, head, frame, column] = np.int8(np.rint(share))
    return whole, scale


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
                key = fused[token, size + first + column]
                value = fused[token, 2 * size + first + column]
                keys[row, head, layer, slot, column] = narrowed(key, keys)
                values[row, head, layer, slot, column] = narrowed(value, values)


@compiled
def look(
    query: Floats, memory: Remembered, owners: Indices, seen: Indices, first: int, out: Floats
) -> None:
    """Attention, (tokens, size) to (tokens, size), of each token to as many slots as it has `seen`.

    Of the lanes that are remembered the heads are every so many from the `first`; `owners` and
    `seen` are (tokens,).
    """
    keys, values, key_scale, value_scale = memory
    lanes, slots, dim = keys.shape[1:]
    heads = out.shape[1] // dim
    scores = np.empty(slots, np.float32)
    for token in range(len(out)):
        owner, count = owners[token], seen[token]
        for head in range(heads):
            lane, part = first + head * (lanes // heads), slice(head * dim, (head + 1) * dim)
            own = Remembered(
                keys[owner, lane, :count],
                values[owner, lane, :count],
                key_scale[owner, lane, :count],
                value_scale[owner, lane, :count],
            )
            attend(query[token, part], own, scores, out[token, part])


@compiled
def gelu(states: Floats) -> None:
    """GELU of `states`, (tokens, size), in place: the exact one, as Whisper has it."""
    for token in range(len(states)):
        for column in range(states.shape[1]):
            state = states[token, column]
            states[token, column] *= float32(0.5) * (float32(1) + math.erf(state * ROOT_HALF))


@compiled
def run(
    weights: Weights, states: Floats, memory: Memory, index: int, layer: int, places: Places
) -> None:
    """`states`, (tokens, size), after a layer, in place; its part of `memory` is read and filled.

    Of what was heard that is its `index` in the stack, of the rest the host's `layer`.
    """
    tokens = len(states)
    normed, mixed, query = np.empty_like(states), np.empty_like(states), np.empty_like(states)
    fused = np.empty((tokens, len(weights.self_qkv.weight)), np.float32)
    inner = np.empty((tokens, len(weights.ffn_in.weight)), np.float32)

    normalise(weights.self_norm, states, normed)
    multiply(weights.self_qkv, normed, fused)
    remember(fused, memory, layer, places)
    rows, heads, layers, slots, dim = memory.keys.shape
    lanes = (rows, heads * layers, slots, dim)  # a view: attention wants slots side by side
    unscaled = np.ones(lanes[:3], np.float32)
    own = Remembered(memory.keys.reshape(lanes), memory.values.reshape(lanes), unscaled, unscaled)
    look(fused, own, places.rows, places.slots + 1, layer, mixed)
    add(weights.self_out, mixed, states)

    normalise(weights.cross_norm, states, normed)
    multiply(weights.cross_query, normed, query)
    keys, values, key_scale, value_scale = memory.heard
    heard = Remembered(keys[index], values[index], key_scale[index], value_scale[index])
    look(query, heard, places.windows, places.frames, 0, mixed)
    add(weights.cross_out, mixed, states)

    normalise(weights.ffn_norm, states, normed)
    multiply(weights.ffn_in, normed, inner)
    gelu(inner)
    add(weights.ffn_out, inner, states)


@compiled
def stand(starts: Indices, width: int, memory: Memory, places: Places) -> None:
    """Write to `places` where `width` tokens a row stand from `starts`, (rows,), on."""
    for token in range(len(places.rows)):
        row = token // width
        places.rows[token] = row
        places.slots[token] = starts[row] + token % width
        places.windows[token] = memory.windows[row]
        places.frames[token] = memory.frames[row]


@compiled
def embed(table: Table, tokens: Indices, places: Places, states: Floats) -> None:
    """The first states, (tokens, size), of `tokens`, (rows, seq), which stand at `places`."""
    width = tokens.shape[1]
    for token in range(len(states)):
        known, slot = tokens[token // width, token % width], places.slots[token]
        for column in range(states.shape[1]):
            embedded = widened(table.embedding[known, column])
            states[token, column] = embedded + widened(table.positions[slot, column])


@compiled
def score(
    stack: Stack,
    table: Table,
    tokens: Indices,
    starts: Indices,
    memory: Memory,
    head: Product,
    scores: Floats,
) -> None:
    """What `head` makes of the last of each row's `tokens`, (rows, seq), to `scores`.

    They go through `stack`, row r's from position starts[r] on; scores are (rows, outputs).
    """
    rows, width = tokens.shape
    states = np.empty((rows * width, table.embedding.shape[1]), np.float32)
    stood = np.empty((4, rows * width), np.int64)
    places = Places(stood[0], stood[1], stood[2], stood[3])
    stand(starts, width, memory, places)
    embed(table, tokens, places, states)
    for index in range(len(stack.layers)):
        run(stack.layers[index], states, memory, index, stack.memories[index], places)
    lasts = np.empty((rows, states.shape[1]), np.float32)
    for row in range(rows):
        for column in range(states.shape[1]):
            lasts[row, column] = states[(row + 1) * width - 1, column]
    normalise(stack.norm, lasts, lasts)
    multiply(head, lasts, scores)
