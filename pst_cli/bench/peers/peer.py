"""What all peers share: where the weights are, the clock, and failures that end nobody's race."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.bench.lanes import Kind, Lap, Said, Sound
from pst_cli.bench.race import PeerError
from pst_cli.bench.timing import Split, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from pst_cli.bench.clips import Batch, Task
    from pst_cli.types import SpecialTokens

DECODE = "decode"  # the clock's name for the whole call, its encoder included


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where peers find the same weights, and how they are to run them."""

    checkpoint: Path  # in transformers' layout
    draft: Path | None  # the same, of the draft model
    ct2: Path | None  # the same weights in CTranslate2's layout
    device: str
    dtype: torch.dtype
    tokens: SpecialTokens


class Peer:
    """Another program on the same windows and weights; subclasses say which."""

    kind: Kind = "peer"
    lossy = False
    name = includes = ""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.watch = Stopwatch(setting.device)

    @torch.inference_mode()
    def lap(self, batch: Batch, sound: Sound) -> Lap:
        del sound  # a peer hears for itself
        self.watch.spent.clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = self.decode(batch.tasks)
        except Exception as error:  # a peer's own failure is news, whatever it is
            raise PeerError(reason(error)) from error
        return Lap(tuple(rows), self._split())

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        """Decode windows, in a block timed as `DECODE`."""
        raise NotImplementedError

    def _split(self) -> Split:
        spent = self.watch.spent
        inside = spent["encoder"] + spent["drafter_encoder"]
        return Split(
            features=spent["features"],
            encoder=spent["encoder"],
            drafter_encoder=spent["drafter_encoder"],
            other=spent[DECODE] - inside,
        )

    def said(self, tokens: Sequence[int], text: str) -> Said:
        """A row as pst's own are: without prompt and end token."""
        kept = list(tokens)
        if self.setting.tokens.end in kept:
            kept = kept[: kept.index(self.setting.tokens.end)]
        return Said(tuple(kept), text.strip())


def timed_module(module: nn.Module, watch: Stopwatch, name: str) -> None:
    """Have every call of `module` timed as `name`."""
    plain = module.forward

    def forward(*given: Any, **named: Any) -> Any:
        with watch.running(name):
            return plain(*given, **named)

    module.forward = forward


def reason(error: Exception) -> str:
    """An error of other people's code in one line."""
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__
