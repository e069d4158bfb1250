"""The decoding loop: whatever is drafted, what comes out is what the host would say alone."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scripted import PROMPT, SPECIAL, VOCABULARY, Oracle, ScriptedHost, hashed_scores

from pst_cli.decoding.acceptance import Greedy, Sampling
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Draft, Plain
from pst_cli.decoding.rules import TokenRules

RULES = TokenRules(SPECIAL, VOCABULARY, timestamps=False)


def run(host, drafter, acceptance=None, limit=None):
    strategy = Strategy(drafter, acceptance or Greedy(), RULES, limit)
    return decode(host, [PROMPT] * len(host.names), SPECIAL, strategy)


def plain(rows, script=hashed_scores, limit=48):
    return run(ScriptedHost(rows, script, limit), Plain())


def ending(bias):
    return lambda row, prefix: hashed_scores(row, prefix, bias)


def test_plain_decoding_is_argmax_one_token_at_a_time():
    (row,) = plain(1, ending(2.0))
    said = list(PROMPT)
    while (token := int(hashed_scores(0, said, 2.0).argmax())) != SPECIAL.end:
        said.append(token)
    assert row.tokens == said[len(PROMPT) :]
    assert row.ended
    assert row.passes == len(row.tokens)


@given(
    rows=st.integers(1, 8),
    bias=st.sampled_from([-5.0, 0.5, 2.0]),
    longest=st.integers(0, 7),
    spoilt=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_every_drafter_leaves_plain_decodings_tokens_as_they_are(rows, bias, longest, spoilt, seed):
    expected = plain(rows, ending(bias))
    chance = random.Random(seed)
    oracle = Oracle(
        [row.tokens for row in expected],
        lambda: chance.randint(0, longest),
        lambda: chance.random() < spoilt,
    )
    host = ScriptedHost(rows, ending(bias))
    drafted = run(host, oracle)
    assert [row.tokens for row in drafted] == [row.tokens for row in expected]
    assert [row.ended for row in drafted] == [row.ended for row in expected]
    for row, alone in zip(drafted, expected, strict=True):
        assert row.logprob == pytest.approx(alone.logprob, abs=1e-4)
        assert len(row.accepted) == row.passes <= alone.passes
        assert sum(row.accepted) <= row.drafted
    assert host.passes == 1 + max(row.passes for row in drafted)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_drafter_that_is_always_right_saves_as_many_passes_as_it_drafts(length):
    (alone,) = plain(1, ending(-5.0))
    (row,) = run(ScriptedHost(1, ending(-5.0)), Oracle([alone.tokens], lambda: length))
    assert row.tokens == alone.tokens
    emitted_after_prompt_pass = len(alone.tokens) - 1
    assert row.passes == -(-emitted_after_prompt_pass // (length + 1))


def test_a_drafter_that_is_always_wrong_costs_no_pass_more():
    (alone,) = plain(1, ending(0.5))
    (row,) = run(ScriptedHost(1, ending(0.5)), Oracle([alone.tokens], lambda: 4, lambda: True))
    assert row.tokens == alone.tokens
    assert row.passes == alone.passes
    assert sum(row.accepted) == 0 < row.drafted


def test_an_end_token_inside_an_accepted_draft_cuts_what_follows():
    (alone,) = plain(1, ending(2.0))
    (row,) = run(ScriptedHost(1, ending(2.0)), Oracle([alone.tokens], lambda: 20))
    assert row.tokens == alone.tokens
    assert row.ended


@pytest.mark.parametrize("limit", range(4, 12))
@pytest.mark.parametrize("length", [0, 1, 3, 8])
def test_the_length_limit_holds_with_drafts_too(limit, length):
    (alone,) = run(ScriptedHost(1, ending(-9.0)), Plain(), limit=limit)
    (row,) = run(ScriptedHost(1, ending(-9.0)), Oracle([alone.tokens], lambda: length), limit=limit)
    assert row.tokens == alone.tokens
    assert len(row.context) == limit
    assert not row.ended


def test_rows_that_end_leave_the_batch_and_the_others_do_not_notice():
    def script(row, prefix):
        scores = hashed_scores(row, prefix, -9.0)
        if len(prefix) >= len(PROMPT) + 2 * row + 1:
            scores[SPECIAL.end] = 99.0
        return scores

    host = ScriptedHost(5, script)
    rows = run(host, Plain())
    assert [len(row.tokens) for row in rows] == [1, 3, 5, 7, 9]
    assert host.names == [4]


class TimesRule:
    """Forbids repeating the last token: a rule that looks at the prefix."""

    def __call__(self, scores, prefixes):
        for row, positions in enumerate(prefixes):
            for position, prefix in enumerate(positions):
                if prefix:
                    scores[row, position, prefix[-1]] = float("-inf")
        return scores


def test_each_drafted_position_is_masked_by_its_own_prefix():
    def stubborn(row, prefix):
        scores = torch.full((VOCABULARY,), -1.0)
        scores[7], scores[8] = 2.0, 1.0
        return scores

    strategy = Strategy(Plain(), Greedy(), TimesRule(), 12)
    (alone,) = decode(ScriptedHost(1, stubborn), [PROMPT], SPECIAL, strategy)
    assert alone.tokens == [7, 8] * 4 + [7]
    oracle = Oracle([alone.tokens], lambda: 3)
    strategy = Strategy(oracle, Greedy(), TimesRule(), 12)
    (row,) = decode(ScriptedHost(1, stubborn), [PROMPT], SPECIAL, strategy)
    assert row.tokens == alone.tokens
    assert row.passes == 2


def test_top_k_acceptance_takes_what_the_host_ranks_high_and_plain_what_it_ranks_first():
    def script(row, prefix):
        return torch.arange(VOCABULARY, 0, -1.0)  # token 0 first, token 1 second, ...

    class Second:
        def draft(self, rows, room):
            return [Draft((1,))] * len(rows)

        def select(self, rows):
            pass

    (exact,) = run(ScriptedHost(1, script), Second(), Greedy(1), limit=10)
    (lossy,) = run(ScriptedHost(1, script), Second(), Greedy(2), limit=10)
    assert set(exact.tokens) == {0}
    assert lossy.tokens == [0, 1, 0, 1, 0, 1, 0]


def chi_square(counts, expected):
    return sum((count - wish) ** 2 / wish for count, wish in zip(counts, expected, strict=True))


@pytest.mark.parametrize("point", [False, True], ids=["drawn drafts", "fixed drafts"])
def test_speculative_sampling_follows_the_hosts_own_distribution(point):
    """Chi-square over pairs of tokens; 24 degrees of freedom: 51.2 is exceeded once in 1,000."""
    size, runs, temperature = 5, 6000, 0.8
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(2, size, generator=generator)
    scores = torch.stack([scores[0], scores[1]])[None]
    host = (scores[0] / temperature).softmax(-1)
    drafter = torch.randn(size, generator=generator).softmax(-1)
    acceptance = Sampling(temperature, torch.Generator().manual_seed(5))
    counts = torch.zeros(size, size)
    for _ in range(runs):
        token = 2 if point else int(drafter.multinomial(1, generator=generator))
        draft = Draft((token,), None if point else drafter[None])
        (emitted,) = acceptance(scores, [draft])
        if len(emitted) == 1:  # rejected: the host's next pass would draw the second token
            emitted.append(int(host[1].multinomial(1, generator=generator)))
        counts[emitted[0], emitted[1]] += 1
    expected = host[0][:, None] * host[1][None] * runs
    assert chi_square(counts.flatten().tolist(), expected.flatten().tolist()) < 51.2


def test_sampling_with_a_seed_repeats_itself():
    def sampled():
        acceptance = Sampling(1.0, torch.Generator().manual_seed(1))
        return run(ScriptedHost(2, ending(0.0)), Plain(), acceptance)

    assert [row.tokens for row in sampled()] == [row.tokens for row in sampled()]
