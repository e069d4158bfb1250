"""When each token of a decoded row is spoken, told from what the decoder listened to.

The way of openai/whisper (timing.py): the text is fed again without its timestamps, the attention
of a few heads is held against its mean in each frame and smoothed, and a monotone path of the most
attention runs through tokens and frames (dynamic time warping). Translations are not monotone;
subtitles are.

Whisper's path hurries: silence attracts no token, so that it belongs to the next word as well as to
the last. Here the path leaves out what the voice detection found silent, and a token that lies on
both sides of a silence is spoken where its attention peaks. In clips of several utterances, stock
base fed what is said in them, starts of 61 were off by 0.40 s in the median without either, 16 by
more than 1 s; 0.02 s and 13 without the second; 0.02 s and none so. Of 49 in translation: 0.59 s
and 12; 0.02 s and 8; 0.01 s and 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.types import SAMPLE_RATE, TIMESTAMP_SECONDS, SpecialTokens, Window

if TYPE_CHECKING:
    from pst_cli.decoding.loop import Decoded

Times = tuple[float, ...]
"""When each text token of a row begins, in seconds from its window's start; never falling.

The last is that of the token that ends the row.
"""

Listen = Callable[[Tensor], Iterable[Tensor]]
"""From whole rows, (rows, seq), to weights, (rows, heads, seq, frames), a tensor a layer."""

FRAME = round(TIMESTAMP_SECONDS * SAMPLE_RATE)  # samples; 320
SMOOTHED = 7  # frames; the width of the median filter
# Compared and swapped in this order, seven tensors have their median fourth (N. Devillard, "Fast
# median search", 1998): four times faster than sorting along a short axis.
EXCHANGES = [(0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5)]
EXCHANGES += [(1, 4), (1, 3), (3, 4)]


@torch.inference_mode()
def token_times(
    rows: Sequence[Decoded],
    windows: Sequence[Window],
    listen: Listen,
    special: SpecialTokens,
    limit: int,
) -> list[Times]:
    """When each text token of each row is spoken; a host holds `limit` positions."""
    fed = [_forced(row, special)[:limit] for row in rows]
    width = max(map(len, fed))
    padded = torch.tensor([one + [special.end] * (width - len(one)) for one in fed])
    columns = [voiced(window) for window in windows]
    gains: list[Tensor] = []
    for weights in listen(padded):
        # What stands before a token chose it: the first was chosen at no_timestamps.
        said = [
            weights[index, :, len(row.prompt) : len(one)][..., frames].float()
            for index, (row, one, frames) in enumerate(zip(rows, fed, columns, strict=True))
        ]
        found = [sharpened(one).sum(0) for one in said]
        gains = [a + b for a, b in zip(gains, found, strict=True)] if gains else found
    return [
        tuple(frame * TIMESTAMP_SECONDS for frame in _starts(gain.cpu(), frames))
        for gain, frames in zip(gains, columns, strict=True)
    ]


def _forced(row: Decoded, special: SpecialTokens) -> list[int]:
    """A row as it is fed again: the alignment heads follow text without timestamps best."""
    text = [token for token in row.tokens if token < special.timestamp_begin]
    return [*row.prompt, special.no_timestamps, *text]


def voiced(window: Window) -> Tensor:
    """The frames of a window's own sound where a voice is, in order; all where none is known."""
    frames = max(1, -(-len(window.samples) // FRAME))
    heard = torch.zeros(frames, dtype=torch.bool)
    for start, end in window.speech:
        first = math.floor((start - window.start) / TIMESTAMP_SECONDS)
        last = math.ceil((end - window.start) / TIMESTAMP_SECONDS)
        heard[max(0, first) : max(0, last)] = True
    return heard.nonzero()[:, 0] if heard.any() else torch.arange(frames)


def _starts(gain: Tensor, frames: Tensor) -> list[int]:
    """The frame where each row of `gain`, (tokens, frames), begins; `frames` numbers its columns.

    A row whose columns lie on both sides of a silence begins on the side where it peaks.
    """
    stretch = (frames.diff(prepend=frames[:1]) > 1).cumsum(0)  # (frames,), which run of neighbours
    entered = path(gain)
    found = []
    for token, (first, end) in enumerate(pairwise([*entered, len(frames)])):
        if first < end and stretch[first] != stretch[end - 1]:
            peak = first + int(gain[token, first:end].argmax())
            first = max(first, int(torch.searchsorted(stretch, stretch[peak])))
        found.append(int(frames[first]))
    return found


def sharpened(weights: Tensor) -> Tensor:
    """Weights, (heads, tokens, frames), by how far each stands out in its frame, smoothed."""
    spread, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    tiny = torch.finfo(weights.dtype).tiny
    return median_filter((weights - mean) / spread.clamp_min(tiny))


def median_filter(values: Tensor) -> Tensor:
    """The median of `SMOOTHED` neighbours along the last axis; its ends are mirrored."""
    side = SMOOTHED // 2
    if values.shape[-1] <= side:
        return values
    near = list(functional.pad(values, (side, side), "reflect").unfold(-1, SMOOTHED, 1).unbind(-1))
    for low, high in EXCHANGES:
        near[low], near[high] = (
            torch.minimum(near[low], near[high]),
            torch.maximum(near[low], near[high]),
        )
    return near[side]


def path(gain: Tensor) -> list[int]:
    """Where each row of `gain`, (tokens, frames), begins on the monotone path of the most gain.

    The path goes from the first corner to the last by steps to the next frame, the next token, or
    both. Within a row it only runs on, so that the best place to enter the row is a running minimum
    of costs less the sums before them: a row is a few vector operations.
    """
    cost = -gain.double()
    sums = cost.cumsum(1)
    before = sums - cost  # what running on from the first frame would have cost
    entered = torch.zeros_like(cost, dtype=torch.long)  # where a row was, for a path through j
    skipped = torch.zeros_like(cost, dtype=torch.bool)  # the row above was left a frame earlier
    best = sums[0]
    for token in range(1, len(cost)):
        earlier = functional.pad(best[:-1], (1, 0), value=math.inf)
        skipped[token] = earlier < best
        entry, entered[token] = (torch.minimum(best, earlier) - before[token]).cummin(0)
        best = entry + sums[token]
    return _back(entered, skipped)


def _back(entered: Tensor, skipped: Tensor) -> list[int]:
    """Read a path from its end."""
    frame, found = entered.shape[1] - 1, []
    for token in reversed(range(len(entered))):
        first = int(entered[token, frame])
        found.append(first)
        frame = first - int(skipped[token, first])
    return found[::-1]
