"""Rules about loops: against transformers' own processor, and in the loop itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scripted import PROMPT, SPECIAL, VOCABULARY, ScriptedHost
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Draft, Plain
from pst_cli.decoding.repeats import LOOP, PHRASE, TAIL, EndLoops, NoRepeats, loops
from pst_cli.decoding.rules import NEVER, TokenRules

END, BEGIN = SPECIAL.end, SPECIAL.timestamp_begin


class Free:
    """Rules that leave all as it is."""

    def __call__(self, scores, prefixes):
        del prefixes
        return scores

    def choose(self, scores, prefixes):
        del prefixes
        return scores.argmax(-1).tolist(), [1.0] * len(scores)

    def narrowed(self, kept):
        del kept
        return self


def masked(rules, prefix):
    return rules(torch.zeros(1, 1, VOCABULARY), [[prefix]])[0, 0]


few = st.lists(st.integers(0, 3), max_size=40)


@given(few)
def test_no_phrase_comes_back_as_in_transformers(prefix):
    known = torch.tensor([prefix], dtype=torch.long)
    wanted = NoRepeatNGramLogitsProcessor(PHRASE)(known, torch.zeros(1, VOCABULARY))[0]
    assert torch.equal(masked(NoRepeats(Free(), END), prefix), wanted)


@given(few, st.data())
def test_times_between_words_do_not_hide_a_phrase(prefix, data):
    timed = list(prefix)
    for time in data.draw(st.lists(st.integers(BEGIN, VOCABULARY - 1), max_size=5)):
        timed.insert(data.draw(st.integers(0, len(timed))), time)
    rules = NoRepeats(Free(), END)
    assert torch.equal(masked(rules, timed), masked(rules, prefix))


@pytest.mark.parametrize("make", [NoRepeats, lambda *parts: EndLoops(*parts, hopeless=bool)])
@given(
    st.one_of(few, few.map(lambda prefix: [*prefix, *[1, 2] * TAIL])),
    st.sets(st.integers(0, VOCABULARY - 1)),
)
def test_for_some_tokens_the_rules_are_those_for_all(make, prefix, kept):
    kept = sorted(kept)
    rules = make(Free(), END)
    mine = torch.zeros(1, len(kept))
    if kept:
        rules.narrowed(kept).choose(mine, [prefix])
    assert torch.equal(mine[0], masked(rules, prefix)[kept])


@given(few, st.lists(st.integers(0, END - 1), min_size=1, max_size=LOOP))
def test_a_phrase_that_goes_on_and_on_is_a_loop(before, phrase):
    assert loops(before + phrase * (TAIL + 1))


@given(st.permutations(range(TAIL)), st.integers(0, LOOP))
def test_words_that_come_once_or_return_late_are_none(words, end):
    assert not loops(words)
    assert not loops([*words, *words[:end]])


def test_a_word_said_now_and_then_or_only_some_times_is_no_loop():
    assert not loops([7] * TAIL)
    assert loops([7] * (TAIL + 1))
    assert not loops([*[7] * TAIL, 8])


def test_only_a_loop_past_mending_must_end():
    round_and_round = [1, 2] * TAIL
    rules = EndLoops(Free(), END, hopeless=lambda words: len(words) > 2 * TAIL)
    assert masked(rules, round_and_round).tolist() == [0.0] * VOCABULARY
    ended = masked(rules, [*round_and_round, 1])
    assert ended[END] == 0
    assert (ended == NEVER).sum() == VOCABULARY - 1


def chant(window, tokens):
    """1 2 1 2 ... for ever; after either 3 is the second choice, then the end."""
    scores = torch.full((VOCABULARY,), -20.0)
    scores[2 if tokens[-1] == 1 else 1], scores[3], scores[END] = 5.0, 2.0, 1.0
    return scores


class Chorus:
    """Drafts the chant."""

    def draft(self, rows, room):
        follow = [(2, 1, 2, 1) if row[-1] == 1 else (1, 2, 1, 2) for row in rows]
        return [Draft(some[:most]) for some, most in zip(follow, room, strict=True)]


def said(rules, drafter):
    host = ScriptedHost(1, chant, limit=400)
    (row,) = decode(host, [PROMPT], SPECIAL, Strategy(drafter, Greedy(), rules))
    return row


@pytest.mark.parametrize("drafter", [Plain(), Chorus()])
def test_rules_about_loops_hold_inside_drafts(drafter):
    plain = TokenRules(SPECIAL, VOCABULARY, timestamps=False)
    assert not said(plain, drafter).ended
    ended = said(EndLoops(plain, END, hopeless=lambda words: True), drafter)
    assert (ended.tokens, ended.ended) == ([1, 2] * (TAIL // 2 + 1), True)
    fresh = said(NoRepeats(plain, END), drafter).tokens
    phrases = [tuple(fresh[i : i + PHRASE]) for i in range(len(fresh) - PHRASE + 1)]
    assert fresh[:5] == [1, 2, 1, 2, 1]
    assert len(set(phrases)) == len(phrases)
    assert fresh == said(NoRepeats(plain, END), Plain()).tokens
