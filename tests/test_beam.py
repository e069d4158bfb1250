"""Beam search: whatever is drafted, what comes out is plain beam search over the host's scores."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import PROMPT, SPECIAL, VOCABULARY, ScriptedHost, hashed_scores
from test_host import SPECIAL as TINY
from test_host import START, sound, tiny
from test_host import VOCABULARY as TINY_VOCABULARY

from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.beam import Search, decode_beams
from pst_cli.decoding.guards import Guards
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Draft, Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.models.cache import BLOCK
from pst_cli.models.decoder import Decoder, attend_window
from pst_cli.models.encoded import Encoded
from pst_cli.models.prompts import Ability
from pst_cli.models.session import Session
from pst_cli.translator import Options, Translator

RULES = TokenRules(SPECIAL, VOCABULARY, timestamps=False)


def slow(window, score, rules, limit, beams, prompt=PROMPT, special=SPECIAL):
    """Beam search the plainest way: every token after every hypothesis, each prefix scored anew.

    Returns (tokens, log-probability, ended) of the best. What has the log-probability of minus
    infinity is no hypothesis.
    """
    alive, ended = [((), 0.0)], []
    while alive and len(ended) < beams and len(prompt) + len(alive[0][0]) < limit:
        grown = []
        for said, total in alive:
            scores = score(window, [*prompt, *said]).clone()
            scores = rules(scores[None, None], [[list(said)]])[0, 0]
            for token, logprob in enumerate(scores.log_softmax(-1).tolist()):
                if logprob > float("-inf"):
                    grown.append(((*said, token), total + logprob))
        alive = []
        for said, total in sorted(grown, key=lambda one: -one[1]):
            if said[-1] != special.end:
                alive.append((said, total))
            elif len(ended) < beams:
                ended.append((said[:-1], total))
            if len(alive) == beams:
                break
    pool = [(*one, True) for one in ended]
    pool += [(*one, False) for one in alive[: beams - len(ended)]]
    return max(pool, key=lambda one: one[1] / max(1, len(one[0])))


def ending(bias):
    return lambda window, prefix: hashed_scores(window, prefix, bias)


def sharp(window, prefix):
    """Hypotheses that part at the first two tokens and then each know very well how to go on."""
    scores = hashed_scores(window, prefix, -5.0)
    if len(prefix) >= len(PROMPT) + 2:
        digest = hashlib.sha256(f"{window}/{tuple(prefix)}".encode()).digest()
        end = digest[0] < 16  # one time in sixteen
        scores[SPECIAL.end if end else digest[1] % 29] += 30.0
    return scores


class Chain:
    """Drafts what the host would say greedily after each row, spoilt where `spoil` says so.

    It remembers what every row held when it was last asked, so a row that trades places without it
    being told is found out.
    """

    def __init__(self, rows, beams, script, lengths, spoil=lambda: False):
        self.script, self.lengths, self.spoil = script, lengths, spoil
        self.names = [row // beams for row in range(rows)]
        self.seen = [[] for _ in range(rows)]

    def draft(self, rows, room):
        assert len(rows) == len(self.seen)
        for row, seen in zip(rows, self.seen, strict=True):
            assert row[: len(seen)] == seen, "the drafter was not told that rows traded places"
        self.seen = [list(row) for row in rows]
        return [self._chain(*row) for row in zip(self.names, rows, room, strict=True)]

    def _chain(self, name, row, most):
        said = list(row)
        for _ in range(min(self.lengths(), most)):
            token = int(self.script(name, said).argmax())
            said.append((token + 1) % 29 if self.spoil() else token)
        return Draft(tuple(said[len(row) :]))

    def select(self, rows):
        self.names = [self.names[row] for row in rows.tolist()]
        self.seen = [self.seen[row] for row in rows.tolist()]


def run(script, windows, beams, drafter=None, limit=None, rules=RULES):
    """Rows found, and the host passes they took."""
    host = ScriptedHost(windows, script, 20, beams)
    search = Search(drafter or Plain(), rules, limit)
    return decode_beams(host, [PROMPT] * windows, SPECIAL, search, beams), host.passes


def check(found, expected):
    tokens, logprob, ended = expected
    assert (tuple(found.tokens), found.ended) == (tokens, ended)
    assert found.logprob == pytest.approx(logprob, abs=1e-3)


searches = {
    "windows": st.integers(1, 4),
    "beams": st.integers(1, 4),
    "script": st.sampled_from([ending(-5.0), ending(0.5), ending(2.5), sharp]),
    "limit": st.sampled_from([4, 5, 8, 14, 20, None]),
}


@settings(max_examples=60)
@given(**searches)
def test_without_drafts_it_finds_what_scoring_every_prefix_anew_finds(
    windows, beams, script, limit
):
    found, passes = run(script, windows, beams, limit=limit)
    for window, one in enumerate(found):
        check(one, slow(window, script, RULES, limit or 20, beams))
        assert sum(one.accepted) == one.drafted == 0
        assert len(one.accepted) == one.passes
    assert passes == 1 + max(one.passes for one in found)


@settings(max_examples=100)
@given(
    **searches,
    longest=st.integers(0, 5),
    spoilt=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_drafted_changes_no_result_and_costs_no_pass_more(
    windows, beams, script, limit, longest, spoilt, seed
):
    chance = random.Random(seed)
    drafter = Chain(
        windows * beams,
        beams,
        script,
        lambda: chance.randint(0, longest),
        lambda: chance.random() < spoilt,
    )
    expected, _ = run(script, windows, beams, limit=limit)
    found, passes = run(script, windows, beams, drafter, limit)
    for window, (one, alone) in enumerate(zip(found, expected, strict=True)):
        check(one, slow(window, script, RULES, limit or 20, beams))
        assert one.passes <= alone.passes
        assert one.passes + sum(one.accepted) == alone.passes, "a step was neither fed nor free"
        assert len(one.accepted) == one.passes
        assert sum(one.accepted) <= one.drafted
        assert one.no_speech_probability == alone.no_speech_probability
    assert passes == 1 + max(one.passes for one in found)


@given(windows=st.integers(1, 4), script=searches["script"], limit=searches["limit"])
def test_one_beam_without_drafts_is_greedy_decoding(windows, script, limit):
    host = ScriptedHost(windows, script, 20)
    greedy = decode(host, [PROMPT] * windows, SPECIAL, Strategy(Plain(), Greedy(), RULES, limit))
    found, passes = run(script, windows, 1, limit=limit)
    assert [one.tokens for one in found] == [row.tokens for row in greedy]
    assert [one.ended for one in found] == [row.ended for row in greedy]
    assert [one.passes for one in found] == [row.passes for row in greedy]
    assert passes == host.passes
    for one, row in zip(found, greedy, strict=True):
        assert one.logprob == pytest.approx(row.logprob, abs=1e-4)
        assert one.no_speech_probability == row.no_speech_probability


@pytest.mark.parametrize("beams", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [1, 3, 5])
def test_passes_fall_when_every_hypothesis_is_drafted_right(beams, length):
    def parted(window, prefix):  # part at the first token, then nothing but what is drafted
        scores = hashed_scores(window, prefix, -99.0)
        if len(prefix) > len(PROMPT):
            scores[(7 * prefix[-1] + 1) % 29] += 60.0
        return scores

    drafter = Chain(beams, beams, parted, lambda: length)
    (alone,), _ = run(parted, 1, beams)
    (found,), _ = run(parted, 1, beams, drafter)
    assert found.tokens == alone.tokens
    assert alone.passes == 20 - len(PROMPT) - 1
    assert found.passes == -(-alone.passes // (length + 1))
    assert set(found.accepted[:-1]) == {length}


def test_drafts_that_are_right_for_all_hypotheses_but_one_wait_for_the_next_pass():
    def parted(window, prefix):
        scores = torch.full((VOCABULARY,), -50.0)
        scores[[1, 2] if len(prefix) == len(PROMPT) else prefix[-1]] = 50.0
        return scores

    class Half:
        """Knows how 1 goes on, and not how 2 does."""

        def draft(self, rows, room):
            return [Draft((1, 1, 1)[:most]) for most in room]

        def select(self, rows):
            pass

    (alone,), _ = run(parted, 1, 2, limit=12)
    (found,), _ = run(parted, 1, 2, Half(), limit=12)
    assert found.tokens == alone.tokens
    assert found.passes == alone.passes
    assert sum(found.accepted) == 0 < found.drafted


def test_the_better_of_two_ways_wins_though_greedy_decoding_takes_the_other():
    def script(window, prefix):
        ways = {
            (): {3: 0.6, 4: 0.4},
            (3,): {5: 0.4, 6: 0.3, 7: 0.3},
            (4,): {8: 0.95, 9: 0.05},
        }
        said = tuple(prefix[len(PROMPT) :])
        scores = torch.full((VOCABULARY,), -30.0)
        for token, probability in ways.get(said, {SPECIAL.end: 1.0}).items():
            scores[token] = torch.tensor(probability).log()
        return scores

    ((greedy,), _), ((found,), _) = run(script, 1, 1), run(script, 1, 2)
    assert greedy.tokens == [3, 5]
    assert found.tokens == [4, 8]
    assert found.logprob == pytest.approx(torch.tensor(0.4 * 0.95).log().item(), abs=1e-3)


def test_hypotheses_are_ranked_by_log_probability_a_token_not_by_their_sum():
    def script(window, prefix):
        said = tuple(prefix[len(PROMPT) :])
        scores = torch.full((VOCABULARY,), -60.0)
        if said == (3,):
            scores[SPECIAL.end], scores[4] = 0.1, 0.0  # nearly even: stop, or say ten more
        elif len(said) > 10:
            scores[SPECIAL.end] = 0.0
        else:
            scores[4 if said else 3] = 0.0
        return scores

    ((greedy,), _), ((found,), _) = run(script, 1, 1), run(script, 1, 2)
    assert greedy.tokens == [3]
    assert found.tokens == [3, *[4] * 10]
    assert found.logprob < greedy.logprob
    assert found.average_logprob > greedy.average_logprob


class NoRepeat:
    """Forbids the last token: a rule that looks at the prefix, and so differs between beams."""

    def __call__(self, scores, prefixes):
        for row, positions in enumerate(prefixes):
            for position, prefix in enumerate(positions):
                if prefix:
                    scores[row, position, prefix[-1]] = float("-inf")
        return scores


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 2, 5])
def test_each_drafted_position_of_each_beam_is_masked_by_its_own_prefix(beams, length):
    def stubborn(window, prefix):
        scores = torch.full((VOCABULARY,), -20.0)
        scores[7], scores[8], scores[9] = 12.0, 6.0, 0.0
        return scores

    class Alternating:
        def draft(self, rows, room):
            drafts = [[7 if (row[-1] != 7) ^ (i % 2) else 8 for i in range(length)] for row in rows]
            return [Draft(tuple(draft[:most])) for draft, most in zip(drafts, room, strict=True)]

        def select(self, rows):
            pass

    (found,), _ = run(stubborn, 1, beams, Alternating(), 12, NoRepeat())
    check(found, slow(0, stubborn, NoRepeat(), 12, beams))
    assert found.tokens[:4] == [7, 8, 7, 8]
    if beams == 1 and length:
        assert sum(found.accepted) > 0


@pytest.mark.parametrize("allowed", [(), (3,), (3, 4), (3, SPECIAL.end), (SPECIAL.end,)])
@pytest.mark.parametrize("beams", [1, 2, 4])
def test_rows_for_which_there_is_no_hypothesis_stand_empty(allowed, beams):
    """Fewer tokens may follow than there are beams: what is forbidden never fills a row."""

    def strict(window, prefix):
        scores = torch.full((VOCABULARY,), float("-inf"))
        scores[list(allowed)] = hashed_scores(window, prefix)[list(allowed)]
        return scores

    (found,), _ = run(strict, 1, beams, limit=9)
    if allowed:
        check(found, slow(0, strict, RULES, 9, beams))
        assert set(found.tokens) <= set(allowed)
    else:
        assert (found.tokens, found.ended, found.logprob) == ([], False, float("-inf"))


def test_a_forbidden_end_token_ends_no_hypothesis():
    """In a vocabulary so small that the end token, though forbidden, is a candidate each time."""
    small = replace(SPECIAL, end=0, start=1, no_speech=1)

    def only(window, prefix):
        return torch.tensor([float("-inf"), float("-inf"), 0.0])

    host = ScriptedHost(1, only, 9, beams=3)
    search = Search(Plain(), lambda scores, prefixes: scores)
    (found,) = decode_beams(host, [(1,)], small, search, 3)
    assert (found.tokens, found.ended) == ([2] * 8, False)


def test_a_window_that_is_done_takes_no_free_steps():
    def script(window, prefix):
        scores = torch.full((VOCABULARY,), -50.0)
        scores[5] = 0.0
        scores[SPECIAL.end] = 9.0 if len(prefix) > len(PROMPT) else -50.0
        return scores

    class Fives:
        def draft(self, rows, room):
            return [Draft((5, 5, 5))] * len(rows)

        def select(self, rows):
            pass

    (found,), _ = run(script, 1, 1, Fives())
    assert (found.tokens, found.ended) == ([5], True)
    assert (found.drafted, found.accepted) == (3, [0])


def test_windows_that_are_done_leave_and_the_others_do_not_notice():
    def script(window, prefix):
        scores = hashed_scores(window, prefix, -30.0)
        if len(prefix) >= len(PROMPT) + 3 * window + 1:
            scores[SPECIAL.end] = 30.0
        return scores

    host = ScriptedHost(4, script, 20, 3)
    found = decode_beams(host, [PROMPT] * 4, SPECIAL, Search(Plain(), RULES), 3)
    assert [len(one.tokens) for one in found] == [1, 4, 7, 10]
    assert host.names == [3, 3, 3]
    for window, one in enumerate(found):
        check(one, slow(window, script, RULES, 20, 3))


def test_no_beams_at_all_are_refused():
    with pytest.raises(ValueError, match="0 beams"):
        run(sharp, 1, 0)


def transformers_scores(model, features):
    """score(window, prefix) of a whole transformers model, nothing remembered between calls."""
    with torch.inference_mode():
        encoded = model.model.encoder(features)

    def score(window, prefix):
        with torch.inference_mode():
            states = encoded.last_hidden_state[window : window + 1]
            out = model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([prefix]))
            return out.logits[0, -1]

    return score


def tiny_session(model, features, beams):
    config = model.config
    heads = config.decoder_attention_heads
    decoder = Decoder(model.model.decoder.state_dict(), config.decoder_layers, heads)
    with torch.inference_mode():
        encoded = model.model.encoder(features).last_hidden_state
        return Session(decoder, decoder.open(encoded, beams))


@pytest.mark.parametrize("longest", [0, 4], ids=["plain", "drafted"])
@pytest.mark.parametrize(
    ("seed", "windows", "beams", "timestamps", "limit"),
    [
        (1, 1, 3, True, 24),
        (2, 3, 2, True, 24),
        (3, 2, 3, False, 24),
        (4, 4, 1, True, 24),
        (5, 3, 4, False, 16),
        (6, 1, 2, True, BLOCK + 6),  # the cache grows under the beams
    ],
)
def test_through_the_real_decoder_it_finds_what_transformers_logits_say(
    seed, windows, beams, timestamps, limit, longest
):
    model = tiny(seed)
    features = sound(model, windows, seed)
    rules = TokenRules(TINY, TINY_VOCABULARY, timestamps=timestamps)
    score = transformers_scores(model, features)
    prompt = [START] if timestamps else [START, TINY.no_timestamps]
    chance = random.Random(seed)
    drafter = Chain(
        windows * beams,
        beams,
        score,
        lambda: chance.randint(0, longest),
        lambda: chance.random() < 0.1,
    )
    session = tiny_session(model, features, beams)
    found = decode_beams(session, [prompt] * windows, TINY, Search(drafter, rules, limit), beams)
    for window, one in enumerate(found):
        check(one, slow(window, score, rules, limit, beams, prompt, TINY))


def test_beams_hear_their_window_as_if_its_sound_were_copied_for_each():
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(6, 2, 5, 8, generator=generator)  # 2 windows of 3 beams, 5 tokens a row
    keys, values = torch.randn(2, 2, 2, 11, 8, generator=generator)
    copied = [sound.repeat_interleave(3, dim=0) for sound in (keys, values)]
    assert torch.allclose(
        attend_window(query, keys, values), attend_window(query, *copied), atol=1e-6
    )


def test_a_window_stores_its_sound_once_and_trading_places_does_not_touch_it():
    model = tiny(2)
    cache = tiny_session(model, sound(model, 2, 2), beams=3).cache
    assert (cache.rows, cache.beams, cache.cross_keys.shape[1]) == (6, 3, 2)
    with torch.inference_mode():
        cache.keys[:] = torch.arange(6.0)[:, None, None, None, None]
        kept = cache.cross_keys
        cache.reorder(torch.tensor([2, 0, 0, 3, 5, 4]))
    assert cache.keys[:, 0, 0, 0, 0].tolist() == [2, 0, 0, 3, 5, 4]
    assert cache.cross_keys is kept


def test_windows_leave_a_cache_whole_with_what_they_hear():
    model = tiny(2)
    cache = tiny_session(model, sound(model, 3, 2), beams=2).cache
    heard = cache.cross_values.clone()
    with torch.inference_mode():
        cache.keys[:] = torch.arange(6.0)[:, None, None, None, None]
        cache.select(torch.tensor([1, 1, 5, 4]))
    assert cache.keys[:, 0, 0, 0, 0].tolist() == [1, 1, 5, 4]
    assert (cache.rows, cache.beams) == (4, 2)
    assert torch.equal(cache.cross_values, heard[:, [0, 2]])


def test_the_states_that_drafters_look_at_trade_places_with_their_rows():
    model = tiny(2)
    session = tiny_session(model, sound(model, 1, 2), beams=2)
    with torch.inference_mode():
        states = session.forward(torch.tensor([[START, 3], [START, 4]]), [0, 0])
        session.reorder(torch.tensor([1, 0]))
    assert torch.equal(session.states, states[[1, 0]])


HEARD = Encoded(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))  # two windows


class ScriptedCheckpoint:
    """What the translator asks of a loaded host; remembers how sessions were opened."""

    tokens, device = SPECIAL, torch.device("cpu")
    shape = SimpleNamespace(vocab_size=VOCABULARY)
    ability, no_speech_threshold = Ability.STOCK, None

    def __init__(self, script):
        self.script, self.opened = script, []

    def open(self, encoded, beams=1, mask=None, windows=None):
        self.opened.append(beams)
        return ScriptedHost(len(encoded), self.script, 20, beams)

    def text(self, tokens):
        return " ".join(map(str, tokens))


class Eager:
    """A method that drafts nothing, and remembers for how many rows it was to."""

    name = "eager"

    def __init__(self):
        self.started = []

    def start(self, session, heard, guide):
        self.started.append(len(session.memory) // len(heard))
        return Plain()


@pytest.mark.parametrize(("beams", "opened"), [(1, [1, 5]), (3, [3, 5]), (6, [6])])
def test_the_translator_searches_wider_where_it_is_in_doubt_and_without_drafts(beams, opened):
    strict = Guards(average_logprob=0.0)  # nothing is ever sure enough
    host, method = ScriptedCheckpoint(ending(0.0)), Eager()
    translator = Translator(host, Options(guards=strict, beams=beams), method)
    translator.rules = RULES
    translator.decode(HEARD, [PROMPT] * 2, [None] * 2)
    assert host.opened == opened
    assert method.started == [beams]


@pytest.mark.parametrize(
    ("ability", "beams", "patience"),
    [
        (Ability.MANY_TO_MANY, 1, [False, True]),
        (Ability.MANY_TO_MANY, 6, [False]),
        (Ability.STOCK, 1, [False, False]),
    ],
)
def test_a_search_is_patient_with_a_host_of_many_languages(ability, beams, patience, monkeypatch):
    host, seen = ScriptedCheckpoint(ending(0.0)), []
    host.ability = ability
    translator = Translator(host, Options(guards=Guards(average_logprob=0.0), beams=beams))
    translator.rules = RULES
    original = Translator._rules

    def rules(self, attempt):
        found = original(self, attempt)
        seen.append(found.rules._patient)
        return found

    monkeypatch.setattr(Translator, "_rules", rules)
    translator.decode(HEARD, [PROMPT] * 2, [None] * 2)
    assert seen == patience


def test_the_translator_samples_after_a_search_what_repeats_itself():
    strict = Guards(compression_ratio=0.0, temperatures=(0.0, 0.5))  # all is repetition
    host = ScriptedCheckpoint(ending(0.0))
    translator = Translator(host, Options(guards=strict))
    translator.rules = RULES
    translator.decode(HEARD, [PROMPT] * 2, [None] * 2)
    assert host.opened == [1, 5, 1]


def test_the_translator_says_what_the_search_finds():
    host = ScriptedCheckpoint(sharp)
    guards = Guards(temperatures=(0.0,))
    translator = Translator(host, Options(guards=guards, beams=3))
    translator.rules = RULES
    judged = translator.decode(HEARD, [PROMPT] * 2, [None] * 2)
    for window, one in enumerate(judged):
        check(one.decoded, slow(window, sharp, RULES, 20, 3))
