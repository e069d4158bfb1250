"""Contenders of pst's own: a way of decoding, run on one batch after another under the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from pst_cli.bench.timing import Split, Stopwatch, TimedDrafter, TimedHost
from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.beam import search
from pst_cli.decoding.loop import Decoded, Strategy
from pst_cli.decoding.proposals import Guide
from pst_cli.decoding.protocols import Draft, Drafter
from pst_cli.decoding.rules import TokenRules
from pst_cli.models.encoded import Encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pst_cli.bench.clips import Batch
    from pst_cli.methods import Method
    from pst_cli.models.host import Host
    from pst_cli.models.session import Session

Kind = Literal["pst", "oracle", "peer"]
Book = dict[int, list[tuple[int, ...]]]  # what plain said of each batch's windows


@dataclass(frozen=True, slots=True)
class Part:
    """Windows of a batch that are padded alike, as the host hears them."""

    rows: Sequence[int]  # of the batch
    log_mel: Tensor  # (rows, mels, frames)
    encoded: Tensor  # (rows, frames / 2, d_model)


@dataclass(frozen=True, slots=True)
class Sound:
    """A batch as the host hears it, and what hearing took; all lanes of pst share it."""

    parts: Sequence[Part]
    split: Split

    def joined(self, drafters: Sequence[Tensor]) -> Encoded:
        """All rows of the batch in order; `drafters` is what a drafter hears of each part."""
        pairs = zip(self.parts, drafters, strict=True)
        joined = Encoded.join([Encoded(part.encoded, drafter) for part, drafter in pairs])
        if len(self.parts) == 1:
            return joined
        rows = [row for part in self.parts for row in part.rows]
        return joined[[rows.index(row) for row in range(len(rows))]]


@dataclass(frozen=True, slots=True)
class Said:
    """One window's outcome; the end token is left out of `tokens`."""

    tokens: tuple[int, ...]
    text: str
    passes: int = 0  # host passes after the prompt's own
    drafted: int = 0
    accepted: tuple[int, ...] = ()  # drafted tokens that held, a pass each


@dataclass(frozen=True, slots=True)
class Lap:
    """What one contender said of some windows and what it took."""

    rows: tuple[Said, ...]
    split: Split
    forwards: int = 0  # calls of the host, prompts included; a batch shares one
    peak: float | None = None  # MB

    def __add__(self, other: Lap) -> Lap:
        peaks = [peak for peak in (self.peak, other.peak) if peak is not None]
        return Lap(
            self.rows + other.rows,
            self.split + other.split,
            self.forwards + other.forwards,
            max(peaks, default=None),
        )

    @property
    def tokens(self) -> int:
        return sum(len(row.tokens) for row in self.rows)


class Contender(Protocol):
    """Anything that can be run against plain decoding."""

    name: str
    kind: Kind
    lossy: bool  # by choice: it does not even try to say what plain says
    includes: str  # what its time is made of, in words, where that needs saying

    def lap(self, batch: Batch, sound: Sound) -> Lap:
        """Decode one batch; `sound` is there for those that hear with the host's ears."""


class Lane:
    """One of pst's own methods."""

    kind: Kind = "pst"
    includes = ""

    def __init__(
        self, host: Host, method: Method, *, name: str = "", top_k: int = 1, beams: int = 1
    ) -> None:
        self.host, self.method, self.top_k, self.beams = host, method, top_k, beams
        self.name, self.lossy = name or method.name, top_k > 1
        self.rules = TokenRules(host.tokens, host.shape.vocab_size, device=host.device)

    @torch.inference_mode()
    def lap(self, batch: Batch, sound: Sound) -> Lap:
        watch = Stopwatch(self.host.device)
        prompts = [task.prompt for task in batch.tasks]
        guide = Guide(self.rules, prompt=len(prompts[0]), end=self.host.tokens.end)
        with watch.running("drafter_encoder"):
            drafters = [self.method.hear(part.log_mel, part.encoded) for part in sound.parts]
        with watch.running("prepare"):
            heard = sound.joined(drafters)
            session = self.host.open(heard.host, self.beams, heard.mask)
            drafter = TimedDrafter(self.method.start(session, heard.drafter, guide), watch)
        timed = TimedHost(session, watch)
        with watch.running("decode"):
            strategy = Strategy(drafter, Greedy(self.top_k), self.rules)
            rows = search(timed, prompts, self.host.tokens, strategy, self.beams)
        split = sound.split + watch.split("decode")
        return Lap(tuple(self._said(row) for row in rows), split, timed.forwards)

    def _said(self, row: Decoded) -> Said:
        text = self.host.text(row.tokens).strip()
        return Said(tuple(row.tokens), text, row.passes, row.drafted, tuple(row.accepted))


class Remembered:
    """A lane whose words are kept in a book, for oracles to read."""

    def __init__(self, lane: Lane, book: Book) -> None:
        self.lane, self.book = lane, book
        self.name, self.kind = lane.name, lane.kind
        self.lossy, self.includes = lane.lossy, lane.includes

    def lap(self, batch: Batch, sound: Sound) -> Lap:
        lap = self.lane.lap(batch, sound)
        self.book[batch.index] = [row.tokens for row in lap.rows]
        return lap


class OracleLane:
    """Drafts what plain said of the batch: the most that a draft length can gain in this loop."""

    kind: Kind = "oracle"
    lossy = False
    includes = "drafts that cost nothing and always hold"

    def __init__(self, host: Host, book: Mapping[int, Sequence[tuple[int, ...]]], length: int):
        self.name = f"oracle-{length}"
        self.host, self.book, self.length = host, book, length

    def lap(self, batch: Batch, sound: Sound) -> Lap:
        method = OracleMethod(self.book[batch.index], self.length, self.name)
        return Lane(self.host, method).lap(batch, sound)


@dataclass(frozen=True)
class OracleMethod:
    """The oracle as a method for the rows whose tokens it knows."""

    said: Sequence[tuple[int, ...]]
    length: int
    name: str

    def hear(self, log_mel: Tensor, encoded: Tensor) -> Tensor:
        del log_mel
        return encoded

    def start(self, session: Session, heard: Tensor, guide: Guide) -> Drafter:
        del session, heard
        return Oracle([(*row, guide.end) for row in self.said], self.length, guide.prompt)


class Oracle:
    """Drafts the next `length` tokens of rows that it knows to the end."""

    def __init__(self, said: Sequence[tuple[int, ...]], length: int, prompt: int) -> None:
        self.said, self.length, self.prompt = list(said), length, prompt

    def draft(self, rows: Sequence[Sequence[int]], room: Sequence[int]) -> list[Draft]:
        return [
            Draft(said[len(row) - self.prompt :][: min(self.length, most)])
            for row, said, most in zip(rows, self.said, room, strict=True)
        ]

    def select(self, rows: Tensor) -> None:
        self.said = [self.said[row] for row in rows.tolist()]
