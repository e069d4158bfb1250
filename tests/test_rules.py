"""Token rules against transformers' own logits processors, and timestamps back to times."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

from pst_cli.decoding.guards import Attempt, Guards, compression_ratio, decode_guarded, judge
from pst_cli.decoding.loop import Decoded
from pst_cli.decoding.rules import TokenRules
from pst_cli.decoding.segments import segments
from pst_cli.decoding.timestamps import Stretch, stretches
from pst_cli.types import SAMPLE_RATE, SpecialTokens, Window

BEGIN, VOCABULARY = 60, 200
SPECIAL = SpecialTokens(
    start=51,
    end=50,
    transcribe=53,
    translate=52,
    no_speech=54,
    no_timestamps=BEGIN - 1,
    timestamp_begin=BEGIN,
    languages={"en": 55},
    suppressed=(3, 51, 52, 53, 54),
    suppressed_first=(1, 50),
)


def reference(scores, prefix):
    config = GenerationConfig(
        no_timestamps_token_id=BEGIN - 1,
        eos_token_id=50,
        bos_token_id=50,
        max_initial_timestamp_index=50,
    )
    scores = scores.clone()
    scores[list(SPECIAL.suppressed)] = float("-inf")
    if not prefix:
        scores[list(SPECIAL.suppressed_first)] = float("-inf")
    processor = WhisperTimeStampLogitsProcessor(config, begin_index=0)
    return processor(torch.tensor([prefix], dtype=torch.long), scores[None])[0]


tokens = st.one_of(st.integers(0, 49), st.integers(BEGIN, VOCABULARY - 1))


@settings(max_examples=300)
@given(prefix=st.lists(tokens, max_size=8), seed=st.integers(0, 2**31))
def test_the_timestamp_grammar_is_transformers_own(prefix, seed):
    scores = 3 * torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed))
    rules = TokenRules(SPECIAL, VOCABULARY)
    masked = rules(scores.clone()[None, None], [[prefix]])[0, 0]
    assert torch.equal(masked, reference(scores, prefix))


@settings(max_examples=300)
@given(
    prefixes=st.lists(st.lists(tokens, max_size=8), min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
    kept=st.none() | st.sets(st.integers(0, VOCABULARY - 1), min_size=1),
    patient=st.booleans(),
)
def test_the_likeliest_under_the_rules_is_that_of_the_masked_scores(prefixes, seed, kept, patient):
    generator, rules = torch.Generator().manual_seed(seed), TokenRules(SPECIAL, VOCABULARY)
    if patient:
        rules = rules.patient()
    if kept is not None:
        rules = rules.narrowed(sorted(kept))
    scores = 3 * torch.randn(len(prefixes), len(kept or range(VOCABULARY)), generator=generator)
    masked = rules(scores.clone()[:, None], [[prefix] for prefix in prefixes])[:, 0]
    found, sure = rules.choose(scores, prefixes)
    best, columns = masked.max(-1)
    possible = best.isfinite()
    assert torch.equal(torch.tensor(found)[possible], columns[possible])
    shares = masked.softmax(-1).amax(-1).nan_to_num(0.0)
    torch.testing.assert_close(torch.tensor(sure), shares, check_dtype=False)


@pytest.mark.parametrize(
    ("word", "others", "time", "impatient", "patient"),
    [
        (0.2, 0.5, 0.3, True, False),  # many words in mind, none of them likelier than a time
        (0.2, 0.2, 0.6, True, True),
        (0.5, 0.1, 0.4, False, False),
    ],
)
def test_with_patience_a_time_is_to_be_likelier_than_all_words(
    word, others, time, impatient, patient
):
    shares = torch.full((VOCABULARY,), 1e-9)
    shares[10], shares[[11, 12, 13]] = word, others / 3
    shares[BEGIN + 20 : BEGIN + 30] = time / 10
    rules, prefix = TokenRules(SPECIAL, VOCABULARY), [BEGIN, 7]
    for one, closes in ((rules, impatient), (rules.patient(), patient)):
        masked = one(shares.log()[None, None], [[prefix]])[0, 0]
        assert bool(masked[10] == float("-inf")) is closes
        assert (int(masked.argmax()) >= BEGIN) is closes


def test_a_draft_is_masked_position_by_position():
    scores = torch.randn(1, 3, VOCABULARY, generator=torch.Generator().manual_seed(1))
    prefixes = [[], [BEGIN], [BEGIN, 7]]
    rules = TokenRules(SPECIAL, VOCABULARY)
    together = rules(scores.clone(), [prefixes])
    for position, prefix in enumerate(prefixes):
        alone = rules(scores[:, position : position + 1].clone(), [[prefix]])
        assert torch.equal(together[0, position], alone[0, 0])


kept_tokens = st.sets(st.integers(0, VOCABULARY - 1), min_size=1, max_size=40)


@settings(max_examples=300)
@given(prefix=st.lists(tokens, max_size=8), kept=kept_tokens, seed=st.integers(0, 2**31))
def test_rules_for_a_part_of_the_vocabulary_are_those_where_the_rest_is_impossible(
    prefix, kept, seed
):
    kept, rules = sorted(kept), TokenRules(SPECIAL, VOCABULARY)
    scores = 3 * torch.randn(len(kept), generator=torch.Generator().manual_seed(seed))
    whole = torch.full((VOCABULARY,), float("-inf"))
    whole[kept] = scores
    masked = rules(whole[None, None], [[prefix]])[0, 0]
    narrow = rules.narrowed(kept)(scores[None, None], [[prefix]])[0, 0]
    assert torch.equal(narrow, masked[kept])


def at(seconds):
    return BEGIN + round(seconds / 0.02)


def cut(*row, seconds=30.0):
    return stretches(row, SPECIAL, seconds)


def test_text_between_a_pair_of_timestamps_is_a_stretch():
    found, consumed = cut(at(0), 5, 6, at(1), at(1.2), 7, at(2))
    assert found == [Stretch(0, 1, (5, 6)), Stretch(pytest.approx(1.2), 2, (7,))]
    assert consumed == 30


def test_text_left_open_is_to_be_heard_again_from_the_last_pair():
    found, consumed = cut(at(0), 5, at(1), at(1.2), 7)
    assert found == [Stretch(0, 1, (5,))]
    assert consumed == 1


def test_two_closing_timestamps_say_that_the_rest_is_unheard():
    found, consumed = cut(at(0), 5, at(1), at(1))
    assert found == [Stretch(0, 1, (5,))]
    assert consumed == 1


def test_text_without_any_closing_timestamp_is_the_whole_window():
    assert cut(at(0.4), 5, 6, seconds=9) == ([Stretch(pytest.approx(0.4), 9, (5, 6))], 9)


def test_nothing_said_consumes_everything():
    assert cut() == ([], 30)
    assert cut(at(0)) == ([], 30)


def decoded(row, logprob=-1.0, silence=0.0):
    return Decoded((51, 55, 53), list(row), logprob, True, silence)


def window(seconds, *speech, start=100.0):
    import numpy as np

    return Window(start, np.zeros(round(seconds * SAMPLE_RATE), np.float32), speech)


def lay(row, at_window, **kwargs):
    judged = judge(decoded(row, **kwargs), "words", 0.0, Guards())
    return segments(judged, at_window, SPECIAL, lambda tokens: " ".join(map(str, tokens)))


def test_segments_stand_at_their_place_in_the_file_and_out_of_silence():
    heard = window(10, (100.5, 103.0), (105.0, 109.5))
    found, rest = lay([at(0), 5, at(3.6), at(3.6), 6, at(10)], heard)
    assert [(s.start, s.end, s.text) for s in found] == [
        (100.5, 103.0, "5"),
        (105.0, 109.5, "6"),
    ]
    assert rest is None


def test_a_sliver_of_the_sentence_before_does_not_hold_a_segment_back():
    heard = window(10, (100.0, 103.1), (105.0, 109.5))
    found, _ = lay([at(0), 5, at(3), at(3), 6, at(9)], heard)
    assert [(s.start, s.end) for s in found] == [(100.0, 103.0), (105.0, 109.0)]


def test_words_spoken_of_the_padding_behind_the_window_are_dropped():
    found, _ = lay([at(0), 5, at(2), at(4), 6, at(6)], window(3, (100, 103)))
    assert [s.text for s in found] == ["5"]


def test_the_rest_of_a_window_begins_at_its_first_speech():
    heard = window(20, (100.0, 104.0), (112.0, 119.0))
    found, rest = lay([at(0), 5, at(4), at(5), 6], heard)
    assert [s.text for s in found] == ["5"]
    assert (rest.start, rest.seconds, rest.speech) == (112.0, 8.0, ((112.0, 119.0),))


def test_what_is_left_is_not_heard_again_when_no_speech_is_in_it():
    _, rest = lay([at(0), 5, at(4), at(4)], window(20, (100.0, 104.0)))
    assert rest is None


def test_open_text_with_too_little_speech_left_to_hear_again_is_kept():
    found, rest = lay([at(0), 5, at(4), at(4.2), 6], window(5, (100.0, 104.4)))
    assert [(s.start, s.end, s.text) for s in found] == [(100.0, 104.0, "5"), (104.0, 104.4, "6")]
    assert rest is None


def test_a_row_that_closes_next_to_nothing_is_not_heard_again_for_ever():
    heard, rounds = window(20, (100.0, 119.0)), 0
    while heard and rounds < 50:
        rounds += 1
        found, rest = lay([at(0), 5, at(0.02), at(0.02)], heard)
        assert [s.text for s in found] == ["5"]
        assert rest is None or rest.start == pytest.approx(heard.start + 0.5)
        heard = rest
    assert rounds == 38


def test_a_silent_window_has_no_segments():
    assert lay([at(0), 5, at(2)], window(9, (100, 109)), logprob=-9.0, silence=0.9) == ([], None)


def test_repetition_compresses_far_better_than_prose():
    assert compression_ratio("and so " * 40) > 2.4
    assert compression_ratio("And so, my fellow Americans, ask not what your country can do") < 2.4
    assert compression_ratio("") == 1.0


LOOP = "and so " * 40
GREEDY, SEARCH, UNREPEATED = Attempt(0.0, 1), Attempt(0.0, 5), Attempt(0.0, 5, unrepeated=True)


def tried(saying, beams=1, guards=None):
    """What stands of one row, and the attempts at it; saying(attempt) is text and logprob."""
    attempts, texts = [], []

    def decode(rows, attempt):
        text, logprob = saying(attempt)
        attempts.append(attempt)
        texts.append(text)
        return [decoded([len(texts) - 1], logprob=logprob) for _ in rows]

    (judged,) = decode_guarded(
        [None], decode, lambda row: texts[row[0]], guards or Guards(), beams=beams
    )
    return judged, attempts


def test_only_rows_that_break_a_guard_are_decoded_again():
    attempts = []

    def decode(rows, attempt):
        attempts.append((list(rows), attempt))
        # Row 0 is fine at once, row 1 after a search, row 2 never.
        wanted = {0: 1, 1: 5, 2: 9}
        return [decoded([5], logprob=-0.1 if attempt.beams >= wanted[row] else -9) for row in rows]

    judged = decode_guarded([None] * 3, decode, lambda tokens: "words", Guards())
    assert attempts == [([0, 1, 2], GREEDY), ([1, 2], SEARCH)]
    assert [one.flags for one in judged] == [(), (), ("low-probability",)]


def test_nothing_is_decoded_again_where_there_is_one_temperature():
    judged, attempts = tried(lambda attempt: (LOOP, -9.0), guards=Guards(temperatures=(0.0,)))
    assert attempts == [GREEDY]
    assert judged.flags == ("repetition", "low-probability")


def test_what_was_searched_for_from_the_first_is_not_searched_for_again():
    _, attempts = tried(lambda attempt: ("words", -9.0), beams=5)
    assert attempts == [SEARCH]
    _, attempts = tried(lambda attempt: ("words", -9.0), beams=8)
    assert attempts == [Attempt(0.0, 8)]


def test_a_row_that_loops_may_say_no_phrase_twice_from_then_on():
    def mending(attempt):
        return ("words", -0.1) if attempt.unrepeated else (LOOP, -0.1)

    judged, attempts = tried(mending)
    assert attempts == [GREEDY, UNREPEATED]
    assert judged.flags == ()


def test_a_search_that_finds_a_loop_is_made_again():
    def looping(attempt):
        return (LOOP, -0.1) if attempt == SEARCH else ("words", -9.0 + attempt.unrepeated)

    judged, attempts = tried(looping)
    assert attempts == [GREEDY, SEARCH, UNREPEATED]
    assert judged.decoded.logprob == -8.0


def test_what_loops_all_the_same_is_sampled_ever_hotter():
    def stubborn(attempt):
        return ("words", -9.0) if attempt.temperature == 0.4 else (LOOP, -0.1)

    judged, attempts = tried(stubborn)
    hot = [Attempt(temperature, 1, unrepeated=True) for temperature in (0.2, 0.4)]
    assert attempts == [GREEDY, UNREPEATED, *hot]  # then it is doubtful, but no loop
    assert (judged.temperature, judged.flags) == (0.4, ("low-probability",))
    judged, attempts = tried(lambda attempt: (LOOP, -0.1 - attempt.temperature))
    assert [attempt.temperature for attempt in attempts] == [0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert (judged.temperature, judged.flags) == (0.0, ("repetition",))


ENGLISH = "Ask not what your country can do for you."
FRENCH = "Ne demandez pas ce que votre pays peut faire pour vous."


def said_in(*texts):
    """Attempts that say each of `texts` in turn, the later the less likely."""
    left = iter(enumerate(texts))

    def decode(rows, attempt):
        index, _ = next(left)
        return [decoded([index], logprob=-0.1 * (index + 1)) for _ in rows]

    return decode, lambda row: texts[row[0]]


def test_what_was_left_in_another_language_is_decoded_again():
    (judged,) = decode_guarded(["fr"], *said_in(ENGLISH, FRENCH + " " + ENGLISH, FRENCH), Guards())
    assert (judged.text, judged.temperature, judged.flags) == (FRENCH, 0.2, ())


def test_what_was_heard_well_in_another_language_is_never_taken_for_silence():
    def decode(rows, attempt):
        sure = -0.1 if not attempt.temperature else -9.0
        return [decoded([0], logprob=sure, silence=0.65) for _ in rows]

    (judged,) = decode_guarded(["fr"], decode, lambda row: ENGLISH, Guards())
    assert (judged.silent, judged.temperature, judged.flags) == (False, 0.0, ("other-language",))


def test_a_loop_that_turns_out_to_be_guessed_of_silence_is_silence():
    def decode(rows, attempt):
        sure = -9.0 if attempt.temperature else -0.1
        return [decoded([0], logprob=sure, silence=0.65) for _ in rows]

    (judged,) = decode_guarded(["fr"], decode, lambda row: LOOP, Guards())
    assert judged.silent


def test_nobody_minds_the_language_of_what_is_only_transcribed():
    (judged,) = decode_guarded([None], *said_in(ENGLISH, FRENCH), Guards())
    assert (judged.text, judged.flags) == (ENGLISH, ())


def test_what_never_gets_into_the_language_asked_for_stands_flagged():
    (judged,) = decode_guarded(["fr"], *said_in(*[ENGLISH] * 7), Guards())
    assert (judged.temperature, judged.flags) == (0.0, ("other-language",))


def test_a_doubtful_attempt_in_the_language_asked_for_is_better_than_a_sure_one_in_another():
    guards = Guards(average_logprob=-0.07, temperatures=(0.0, 0.2))  # per token, the end too
    (judged,) = decode_guarded(["fr"], *said_in(ENGLISH, FRENCH), guards)
    assert (judged.text, judged.flags) == (FRENCH, ("low-probability",))
