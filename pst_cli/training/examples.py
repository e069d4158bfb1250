"""Examples: what is heard, what is to be said of it, and how directions share the work."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from pst_cli.language import joined

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from pst_cli.data.manifest import Utterance
    from pst_cli.models.spelling import Speller
    from pst_cli.training.clips import Clip


class Direction(NamedTuple):
    """Out of one language into another, or into itself."""

    source: str
    target: str


class Directed(Protocol):
    """Anything that goes in one direction."""

    @property
    def direction(self) -> Direction:
        """Its own."""


T = TypeVar("T", bound=Directed)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A clip to be put into a language."""

    clip: Clip
    target: str

    @property
    def direction(self) -> Direction:
        return Direction(self.clip.language, self.target)


@dataclass(frozen=True, slots=True)
class Written:
    """A text and its translation: what the text branch alone learns from."""

    text: str
    translation: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Example:
    """One row to learn from."""

    tokens: tuple[int, ...]  # the prompt, what is to be said, the end
    given: int  # the length of the prompt
    source: tuple[int, ...]  # what is said, as text; () where it is unknown
    direction: Direction
    clip: Clip | None = None  # None: text alone
    own: bool = False  # whether this is what a host itself says, not a reference

    @property
    def seconds(self) -> float:
        return self.clip.seconds if self.clip else 0.0


def renderings(clips: Iterable[Clip]) -> list[Spoken]:
    """Every direction that each clip has text for."""
    return [Spoken(clip, target) for clip in clips for target in clip.texts()]


def translations(utterances: Iterable[Utterance]) -> list[Written]:
    """Every pair of an utterance's texts, both ways."""
    return [
        Written(text, translation, Direction(source, target))
        for one in utterances
        for source, text in one.texts().items()
        for target, translation in one.texts().items()
        if source != target
    ]


def balanced(items: Sequence[T], power: float, rng: random.Random) -> list[T]:
    """About as many draws as there are items, shared out over directions by count ** power.

    1 leaves shares as they are, 0 makes directions equal. A direction's items are gone through
    before one is drawn again.
    """
    groups: dict[Direction, list[T]] = defaultdict(list)
    for item in items:
        groups[item.direction].append(item)
    weights = {direction: len(group) ** power for direction, group in groups.items()}
    whole = sum(weights.values())
    drawn: list[T] = []
    for direction in sorted(groups):
        wanted = max(1, round(len(items) * weights[direction] / whole))
        while wanted > 0:
            drawn += rng.sample(groups[direction], min(wanted, len(groups[direction])))
            wanted -= len(groups[direction])
    rng.shuffle(drawn)
    return drawn


def spell_spoken(spoken: Spoken, speller: Speller, limit: int, *, times: bool) -> Example:
    """The row of a clip and its target's text, at most `limit` tokens long."""
    clip, target = spoken.clip, spoken.target
    texts = clip.texts()
    prompt = speller.prompt(target, clip.language, times=times)
    if times:
        said = speller.timed(texts[target], target, clip.spans())
    else:
        said = speller.words(_flowing(texts[target], target), target)
    heard = texts.get(clip.language)
    source = speller.words(_flowing(heard, clip.language), clip.language) if heard else []
    return row(speller, prompt, said, limit, spoken.direction, source=source, clip=clip)


def spell_written(written: Written, speller: Speller, limit: int) -> Example:
    """The row of a text and its translation; it has no times."""
    source, target = written.direction
    prompt = speller.prompt(target, source, times=False)
    said = speller.words(written.translation, target)
    given = speller.words(written.text, source)
    return row(speller, prompt, said, limit, written.direction, source=given)


def row(
    speller: Speller,
    prompt: Sequence[int],
    said: Sequence[int],
    limit: int,
    direction: Direction,
    *,
    source: Sequence[int] = (),
    clip: Clip | None = None,
    own: bool = False,
) -> Example:
    """At most `limit` tokens of prompt, words and end; a row that is cut has no end."""
    tokens = [*prompt, *said, speller.tokens.end][:limit]
    return Example(tuple(tokens), len(prompt), tuple(source[:limit]), direction, clip, own)


def _flowing(texts: Sequence[str], language: str) -> str:
    """Texts as one."""
    return joined((text.strip() for text in texts), language)
