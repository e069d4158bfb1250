"""Windows turned into judged rows: one host, what drafts for it, and how the user wants it used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from pst_cli.decoding.acceptance import Acceptance, Greedy, Sampling
from pst_cli.decoding.alignment import Times, token_times
from pst_cli.decoding.beam import search
from pst_cli.decoding.guards import Attempt, Guards, Judged, compression_ratio, decode_guarded
from pst_cli.decoding.loop import Decoded, Strategy
from pst_cli.decoding.proposals import Guide
from pst_cli.decoding.repeats import EndLoops, NoRepeats
from pst_cli.decoding.rules import Rules, TokenRules
from pst_cli.methods import PLAIN, Method
from pst_cli.models.alignment import listening
from pst_cli.models.context import Context, padded_alike
from pst_cli.models.encoded import Encoded
from pst_cli.models.prompts import Ability
from pst_cli.types import LANGUAGES, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from pst_cli.models.host import Host

VOTERS = 6  # windows; how many a file's source language is voted on by


@dataclass(frozen=True, slots=True)
class Options:
    """How to translate; `source` None means: hear it."""

    source: str | None = None
    transcript: bool = False  # whether each file is wanted in its own language, too
    batch_size: int = 8  # rows; the first batches are smaller, so that the first text is early
    vad: bool = True
    track: int | None = None  # of a container's sound tracks, from 1; None: its default one
    context: Context | None = None  # what windows are padded to; None: as the host was taught
    beams: int = 1  # hypotheses a window at temperature 0; 1: greedy
    top_k: int = 1  # of the host's choices, those that a drafted token may be; above 1: lossy
    guards: Guards = field(default_factory=Guards)
    seed: int = 0  # of the sampling that temperatures above 0 do
    align: bool = False  # whether segments tell when their words are spoken (`Segment.marks`)


class Translator:
    """Turns windows into judged rows with one host, whichever way the host is sped up."""

    def __init__(self, host: Host, options: Options, method: Method = PLAIN) -> None:
        self.host, self.options, self.method = host, options, method
        self.rules = TokenRules(host.tokens, host.shape.vocab_size, device=host.device)
        silence = host.no_speech_threshold or options.guards.no_speech_probability
        self.guards = replace(options.guards, no_speech_probability=silence)
        self._generator = torch.Generator(host.device).manual_seed(options.seed)

    @property
    def context(self) -> Context:
        """What windows are padded to."""
        return self.options.context or self.host.context

    @property
    def wary(self) -> bool:
        """Whether what is said at a window's own length is doubted: the host was not taught it.

        Then what breaks a guard is heard again in full, before it is decoded in another way.
        """
        untaught = self.context == "own" and self.host.context != "own"
        return self.guards.fall_back and untaught

    def encode(self, windows: Sequence[Window], context: Context | None = None) -> list[Encoded]:
        """What is heard of each window, a row each; those that are padded alike together.

        `context` is for these windows alone, in place of the translator's.
        """
        found: dict[int, Encoded] = {}
        padded = padded_alike(windows, context or self.context, self.host.context)
        for seconds, rows in padded.items():
            log_mel = self.host.log_mel([windows[row].samples for row in rows], seconds)
            encoded = self.host.encode(log_mel)
            every = Encoded(encoded, self.method.hear(log_mel, encoded))
            found |= {row: every[[place]] for place, row in enumerate(rows)}
        return [found[row] for row in range(len(windows))]

    def decode(
        self,
        encoded: Encoded,
        prompts: Sequence[Sequence[int]],
        languages: Sequence[str | None],
        *,
        once: bool = False,
    ) -> list[Judged]:
        """Decode rows, guarded; `once`: as they are at first alone, whatever guards say.

        `languages` are what each is translated into, and so must be in; None: no matter.
        """
        guards = self.guards
        if once:
            guards = replace(guards, temperatures=guards.temperatures[:1])

        def decode(rows: Sequence[int], attempt: Attempt) -> list[Decoded]:
            return self._attempt(encoded[list(rows)], [prompts[row] for row in rows], attempt)

        return decode_guarded(languages, decode, self.host.text, guards, self.options.beams)

    def _attempt(
        self, heard: Encoded, prompts: Sequence[Sequence[int]], attempt: Attempt
    ) -> list[Decoded]:
        """Decode rows once; a search that was not asked for does without drafts.

        With them it takes as long (50 pages, 204 s and 195), and a drafter whose pace follows how
        often it is right would learn it from rows that are all in doubt.
        """
        method = self.method if attempt.beams <= self.options.beams else PLAIN
        rules = self._rules(attempt)
        if attempt.beams > 1 or method is not PLAIN:  # a drafter listens for one row at a time
            heard = heard.apart()
        session = self.host.open(heard.host, attempt.beams, heard.mask, heard.windows)
        guide = Guide(rules, len(prompts[0]), self.host.tokens.end)
        drafter = method.start(session, heard.drafter, guide)
        strategy = Strategy(drafter, self._acceptance(attempt.temperature), rules)
        return search(session, prompts, self.host.tokens, strategy, attempt.beams)

    def _rules(self, attempt: Attempt) -> Rules:
        """The translator's own, and what keeps loops short where they are decoded again.

        A search that was not asked for is patient with a host of many languages, which guesses:
        else it is cut short in the middle of words (see base-m2m's card).
        """
        guards, end, rules = self.guards, self.host.tokens.end, self.rules
        if attempt.beams > self.options.beams and self.host.ability is Ability.MANY_TO_MANY:
            rules = rules.patient()
        if attempt.unrepeated:
            return NoRepeats(rules, end)
        if not guards.fall_back:
            return rules

        def hopeless(words: Sequence[int]) -> bool:
            return compression_ratio(self.host.text(words)) > guards.compression_ratio

        return EndLoops(rules, end, hopeless=hopeless)

    def _acceptance(self, temperature: float) -> Acceptance:
        if temperature > 0:
            return Sampling(temperature, self._generator)
        return Greedy(self.options.top_k)

    def times(
        self, heard: Encoded, windows: Sequence[Window], judged: Sequence[Judged]
    ) -> list[Times]:
        """When the tokens of each row are spoken; nothing where nobody asks."""
        if not self.options.align:
            return [()] * len(judged)
        host = self.host

        def listen(tokens: Tensor) -> Iterator[Tensor]:
            heads = host.alignment_heads
            return listening(host.decoder, tokens, heard.host, heads, heard.mask, heard.windows)

        said = [one.decoded for one in judged]
        return token_times(said, windows, listen, host.tokens, host.decoder.limit)

    def language_scores(self, encoded: Sequence[Encoded]) -> list[Tensor]:
        """Log-probabilities of `LANGUAGES` being spoken, in what is heard of each window."""
        heard = Encoded.join(encoded)
        scores = self.host.language_scores(heard.host, list(LANGUAGES), heard.mask)
        return list(scores.cpu())


def elected(scores: Sequence[Tensor], windows: Sequence[Window]) -> tuple[str, float]:
    """The language that windows agree on, and its share; longer windows have more to say."""
    weights = torch.tensor([window.seconds for window in windows])
    shares = (torch.stack(list(scores)).exp() * weights[:, None]).sum(0) / weights.sum()
    best = int(shares.argmax())
    return list(LANGUAGES)[best], float(shares[best])
