"""Vocabulary trimming: which text tokens stay, so that what they spell is spelled as before.

Ids below that of <|endoftext|> are text. It and all above it (specials, languages, times) stay.

Segmentation. Let K be the kept tokens, closed under parts: with a token, K holds both sides of
every merge that makes it. The trimmed tokenizer has the merges whose sides and product lie in K,
in their old order. Then wherever the full tokenizer spells a text in K alone, the trimmed one
spells it the same. For BPE applies, step by step, the first merge in order that fits anywhere,
leftmost. Each step of the full one makes a token inside a final token, which is in K; following the
merges down from there, that token is in K, and so are its sides: the trimmed one has this merge. It
has none that the full one lacks, so this is its first too, and both take the same step; where the
full one finds no more to merge, neither does the other.

Decoding. Ids keep their order and scores their values, so the greedy choice among all, where it is
kept, is the greedy choice among the kept, first of equals included. Suppression and the timestamp
grammar compare scores in the same way. What weighs probabilities against one another or against a
threshold (beams, sampling, guards) meets sums over fewer tokens and may decide otherwise.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pst_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

TOKENIZER = "tokenizer.json"
KEPT = "kept_tokens.json"
END = "<|endoftext|>"
BATCH = 8192  # texts spelled at once, on all cores
HAN = ("\u3400", "\u9fff")  # first and last of Chinese characters in everyday use


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The text tokens of one Whisper, by id."""

    end: int  # id of <|endoftext|>: one more than the last text token's
    always: frozenset[int]  # bytes, and whatever was added to the tokenizer by name
    parts: Mapping[int, frozenset[int]]  # both sides of every merge that makes a token

    def closure(self, token: int) -> set[int]:
        """`token` with all that it is merged from, down to bytes."""
        found, left = set(), [token]
        while left:
            if (one := left.pop()) not in found:
                found.add(one)
                left += self.parts.get(one, ())
        return found

    def choose(self, counts: Mapping[int, int], size: int) -> list[int]:
        """At most `size` text tokens, by id: the most frequent with their parts, and `always`.

        A token whose parts no longer fit is passed over; one that is not in `counts` never comes.
        """
        kept = set(self.always)
        for token in sorted(counts, key=lambda token: (-counts[token], token)):
            missing = self.closure(token) - kept
            if len(kept) + len(missing) <= size:
                kept |= missing
        return sorted(kept)


def read_vocabulary(folder: Path) -> Vocabulary:
    """The text tokens of the tokenizer in `folder`; ModelError where it is not a Whisper's."""
    from tokenizers.pre_tokenizers import ByteLevel

    try:
        document = json.loads((folder / TOKENIZER).read_bytes())
        ids = dict(document["model"]["vocab"])
        added = {token["content"]: token["id"] for token in document["added_tokens"]}
        end = (ids | added)[END]
        named = {number for number in added.values() if number < end}
        always = named | {ids[letter] for letter in ByteLevel.alphabet()} | {*_empty(ids)}
        parts: dict[int, set[int]] = defaultdict(set)
        for left, right in map(sides, document["model"]["merges"]):
            parts[ids[left + right]] |= {ids[left], ids[right]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        hint = "prune its layers only, or take tokenizer.json from the original model"
        reason = "is no tokenizer of a Whisper (byte-level BPE)"
        raise ModelError(f"{folder / TOKENIZER} {reason}", hint=hint) from error
    return Vocabulary(end, frozenset(always), {one: frozenset(two) for one, two in parts.items()})


def _empty(ids: Mapping[str, int]) -> Iterator[int]:
    """The token of no letters, by which CTranslate2 knows a Whisper that has languages."""
    if "" in ids:
        yield ids[""]


def sides(merge: Any) -> tuple[str, str]:
    """Both sides of a merge, written as a pair or, by older tokenizers, as one string."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def count_tokens(folder: Path, texts: Iterable[str], end: int) -> Counter[int]:
    """How often the tokenizer in `folder` uses each token below `end` for `texts`.

    A text is spelled as Whisper writes it after a time: after a space, unless it is Chinese.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    counts: Counter[int] = Counter()
    for batch in _batches(map(_led, texts)):
        for spelled in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            counts.update(spelled.ids)
    return Counter({token: count for token, count in counts.items() if token < end})


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, BATCH)):
        yield batch


def _led(text: str) -> str:
    text = text.strip()
    first = next(filter(str.isalnum, text), "")
    return text if HAN[0] <= first <= HAN[1] else f" {text}"


def read_kept(folder: Path) -> list[int] | None:
    """Ids in the full vocabulary by id in the trimmed one; None where all tokens are there.

    Raises ModelError where they cannot be read.
    """
    try:
        return [int(token) for token in json.loads((folder / KEPT).read_bytes())]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder / KEPT} cannot be read") from error


def write_kept(folder: Path, kept: Iterable[int]) -> None:
    """Write what `read_kept` reads."""
    (folder / KEPT).write_text(json.dumps(list(kept)) + "\n", "utf-8")
