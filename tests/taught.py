"""Tiny hosts, and rows for them to learn from, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from test_host import END, SPECIAL, START, tiny

from pst_cli.data.manifest import Utterance
from pst_cli.models.forced import ForcedHost, Heard
from pst_cli.training.clips import single
from pst_cli.training.collate import Batch, collate, totals
from pst_cli.training.examples import Direction, Example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

TIME = SPECIAL.timestamp_begin
FRAMES = 50  # what a tiny host's encoder gives for its whole window
HEARD = single(Utterance(Path("/nowhere/a.wav"), "en", "a", {}, duration=1.0))
DIRECTION = Direction("en", "de")


def host(seed: int = 0, layers: int = 3, std: float = 1.0) -> ForcedHost:
    """A random host of width 16; `std` scales its weights down where they are too wild."""
    made = ForcedHost(tiny(seed, layers=layers))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(std)
    return made


def spoken(*words: int, source: Sequence[int] = (), own: bool = False) -> Example:
    """A row that is heard: a prompt of two tokens, `words` and the end."""
    return Example((START, 203, *words, END), 2, tuple(source), DIRECTION, HEARD, own)


def written(*words: int, source: Sequence[int]) -> Example:
    """A row that is only read."""
    return Example((START, 203, *words, END), 2, tuple(source), DIRECTION)


def mel(rows: int, seed: int = 0, frames: int = 2 * FRAMES) -> Tensor:
    return torch.randn(rows, 80, frames, generator=torch.Generator().manual_seed(seed))


def states(lengths: Sequence[int], seed: int = 0) -> Heard:
    """Encoder states of rows that have as many frames, the rest masked rubbish."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    made = torch.randn(len(lengths), longest, 16, generator=generator)
    return Heard(made, torch.arange(longest) < torch.tensor(lengths)[:, None])


def groups(
    heard: Sequence[Example], sound: Tensor | Heard, read: Sequence[Example] = (), micro: int = 99
) -> list[Batch]:
    """One batch in groups of at most `micro` rows."""
    whole = totals([*heard, *read], TIME)
    found = []
    for first in range(0, len(heard), micro):
        part = slice(first, first + micro)
        mine: Tensor | Heard
        if isinstance(sound, Heard):
            mine = Heard(sound.states[part], None if sound.mask is None else sound.mask[part])
        else:
            mine = sound[part]
        found.append(collate(heard[part], whole, mine, END))
    found += [
        collate(read[first : first + micro], whole, None, END)
        for first in range(0, len(read), micro)
    ]
    return found
