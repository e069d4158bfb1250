"""Segments: a judged row laid onto its window's place in the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pst_cli.decoding.marks import marks
from pst_cli.decoding.timestamps import Stretch, left_open, stretches
from pst_cli.types import SAMPLE_RATE, Segment, SpecialTokens, Window

if TYPE_CHECKING:
    from pst_cli.decoding.guards import Judged

SHORTEST = 0.1  # s; a segment squeezed to less keeps its own times instead
SLACK = 0.4  # s; an overlap with a voice that is shorter is the host's clock being off
REST = 0.5  # s; speech left over that is worth hearing again

Span = tuple[float, float]
Text = Callable[[Sequence[int]], str]


def segments(
    judged: Judged, window: Window, special: SpecialTokens, text: Text, times: Sequence[float] = ()
) -> tuple[list[Segment], Window | None]:
    """The segments of one window, and the rest of it that is still to be heard, if any.

    `times` are those of its text tokens (`alignment.token_times`); none: segments have no marks.
    """
    if judged.silent:
        return [], None
    tokens = judged.decoded.tokens
    found, consumed = stretches(tokens, special, window.seconds)
    left_over = left_open(tokens, special)
    # What closed at once is gone on from a little later, or it would be heard again for ever.
    rest = _rest(window, consumed if left_over else max(consumed, REST))
    if rest is None and consumed < window.seconds:  # too little to hear again: take it as it is
        found.append(Stretch(consumed, window.seconds, left_over))
    left = iter(times)
    made = [
        _segment(stretch, judged, window, text, list(islice(left, len(stretch.tokens))))
        for stretch in found
    ]
    return [segment for segment in made if segment is not None], rest


def _segment(
    stretch: Stretch, judged: Judged, window: Window, text: Text, times: Sequence[float]
) -> Segment | None:
    """None where the host spoke of the padding behind the window's end, or said nothing."""
    words = text(stretch.tokens).strip()
    if stretch.start >= window.seconds or not words:
        return None
    span = (window.start + stretch.start, min(window.start + stretch.end, window.end))
    start, end = _snap(span, window.speech)
    return Segment(
        start=start,
        end=end,
        text=words,
        average_logprob=judged.decoded.average_logprob,
        compression_ratio=judged.compression_ratio,
        no_speech_probability=judged.decoded.no_speech_probability,
        temperature=judged.temperature,
        flags=judged.flags,
        marks=marks(stretch.tokens, [window.start + time for time in times], text, (start, end)),
    )


def _snap(span: Span, speech: Sequence[Span]) -> Span:
    """Pull a span's ends out of silence: a subtitle neither runs ahead of a voice nor outstays it.

    Whisper places times to a few tenths of a second at best, and the further from the window's
    start the worse; where the voice starts and stops is known better.
    """
    start, end = span
    overlapping = [
        (a, b) for a, b in speech if min(b, end) - max(a, start) > min(SLACK, (b - a) / 2)
    ]
    if not overlapping:
        return span
    snapped = max(start, overlapping[0][0]), min(end, overlapping[-1][1])
    return snapped if snapped[1] - snapped[0] >= SHORTEST else span


def _rest(window: Window, consumed: float) -> Window | None:
    """What follows `consumed` seconds, from its first speech on; None where no speech is left."""
    cut = window.start + consumed
    speech = tuple((max(a, cut), b) for a, b in window.speech if b > cut)
    left = sum(b - a for a, b in speech)
    if consumed < REST or left < REST:  # either way round and round would be next
        return None
    first = round((speech[0][0] - window.start) * SAMPLE_RATE)
    return Window(window.start + first / SAMPLE_RATE, window.samples[first:], speech)
