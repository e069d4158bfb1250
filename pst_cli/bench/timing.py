"""Where the time of a lap goes, told by timers around the host and the drafter."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pst_cli.decoding.protocols import Draft, Drafter, Host


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds, by what they were spent on; they add up to `total`."""

    features: float = 0.0
    encoder: float = 0.0
    drafter_encoder: float = 0.0  # where the drafter hears with ears of its own
    prepare: float = 0.0  # cross-attention keys and values of host and drafter
    draft: float = 0.0
    verify: float = 0.0  # host passes, the prompt's included
    other: float = 0.0  # the loop itself: token rules, acceptance, book-keeping

    @property
    def decode(self) -> float:
        """Decoder time alone, both encoders left out: what ms per token is made of."""
        return self.prepare + self.draft + self.verify + self.other

    @property
    def total(self) -> float:
        return self.features + self.encoder + self.drafter_encoder + self.decode

    def __add__(self, other: Split) -> Split:
        return Split(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Stopwatch:
    """Adds up seconds under names; waits for an accelerator before it looks at the clock."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self.spent: Counter[str] = Counter()

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        self._synchronize()
        started = time.perf_counter()
        try:
            yield
        finally:
            self._synchronize()
            self.spent[name] += time.perf_counter() - started  # type: ignore[assignment]

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def split(self, whole: str) -> Split:
        """What was spent by name; what is left of `whole`, a name too, is `other`."""
        named = {name: seconds for name, seconds in self.spent.items() if name != whole}
        inside = named.get("draft", 0.0) + named.get("verify", 0.0)
        return Split(**named, other=self.spent[whole] - inside)


class TimedHost:
    """A host whose passes are timed and counted."""

    def __init__(self, host: Host, watch: Stopwatch) -> None:
        self.host, self.watch, self.forwards = host, watch, 0

    @property
    def limit(self) -> int:
        return self.host.limit

    def forward(self, tokens: Tensor, starts: Sequence[int]) -> Tensor:
        self.forwards += 1
        with self.watch.running("verify"):
            return self.host.forward(tokens, starts)

    def logits(self, states: Tensor) -> Tensor:
        with self.watch.running("verify"):
            return self.host.logits(states)

    def select(self, rows: Tensor) -> None:
        self.host.select(rows)

    def reorder(self, rows: Tensor) -> None:
        self.host.reorder(rows)


class TimedDrafter:
    """A drafter that is timed."""

    def __init__(self, drafter: Drafter, watch: Stopwatch) -> None:
        self.drafter, self.watch = drafter, watch

    def draft(self, rows: Sequence[Sequence[int]], room: Sequence[int]) -> list[Draft]:
        with self.watch.running("draft"):
            return self.drafter.draft(rows, room)

    def select(self, rows: Tensor) -> None:
        with self.watch.running("draft"):
            self.drafter.select(rows)
