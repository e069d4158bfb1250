"""The bench: its figures add up, its words are true, its document keeps its keys."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scripted import SPECIAL, VOCABULARY, ScriptedHost, hashed_scores

from pst_cli.bench.clips import Clip, batches
from pst_cli.bench.lanes import Lane, Lap, Said
from pst_cli.bench.memory import PeakMemory
from pst_cli.bench.race import PeerError, race
from pst_cli.bench.report import exact_tokens, exact_windows, expected_speedup, notes, row
from pst_cli.bench.run import ORACLE_LENGTHS, Plan, bench, contenders
from pst_cli.bench.timing import Split, Stopwatch
from pst_cli.decoding.protocols import Draft, Plain
from pst_cli.errors import ModelError, UsageError
from pst_cli.methods import PlainMethod
from pst_cli.models.prompts import Ability
from pst_cli.types import MEGABYTE, SAMPLE_RATE, Window

PLAN = Plan(model="scripted", target="en", rounds=3, oracle=True)


def script(window, prefix):
    scores = hashed_scores(window, prefix, 0.5)
    scores[SPECIAL.timestamp_begin :] = -3.0  # seldom a time, but for the first token
    return scores


class ScriptedWhisper:
    """A host whose sound is the number of the window and whose words are written down."""

    device, dtype, tokens = torch.device("cpu"), torch.float32, SPECIAL
    ability, shape = Ability.MANY_TO_MANY, SimpleNamespace(vocab_size=VOCABULARY)
    context, no_speech_threshold = "own", None

    def log_mel(self, sounds, seconds):
        return torch.tensor([[[float(sound[0])]] for sound in sounds])

    def encode(self, log_mel):
        return log_mel

    def open(self, encoded, beams=1, mask=None):
        session = ScriptedHost(len(encoded), script)
        session.names = [int(name) for name in encoded.flatten()]
        return session

    def text(self, tokens):
        return " ".join(f"w{token}" for token in tokens if token < SPECIAL.end)


def clip(*names, file="clip.wav"):
    sounds = [np.full(SAMPLE_RATE, name, np.float32) for name in names]
    windows = tuple(Window(float(at), sound) for at, sound in enumerate(sounds))
    return Clip(Path(file), float(len(names)), windows)


CLIPS = [clip(0, 1, file="a.wav"), clip(2, 3, 4, file="b.wav")]


@dataclass(frozen=True)
class Napping:
    """Drafts nothing, slowly."""

    name: str = "napping"

    def hear(self, log_mel, encoded):
        return encoded

    def start(self, session, heard, guide):
        return NappingDrafter()


class NappingDrafter(Plain):
    def draft(self, rows, room):
        time.sleep(0.01)
        return super().draft(rows, room)


@dataclass(frozen=True)
class Guessing:
    """Drafts the same two tokens ever again."""

    name: str = "guessing"

    def hear(self, log_mel, encoded):
        return encoded

    def start(self, session, heard, guide):
        return GuessingDrafter()


class GuessingDrafter(Plain):
    def draft(self, rows, room):
        return [Draft((3, 5)[: min(room)])] * len(rows)


@pytest.fixture(scope="module", params=[1, 2], ids=["one by one", "in batches"])
def report(request):
    methods = {"napping": Napping(), "guessing": Guessing()}
    return bench(ScriptedWhisper(), methods, CLIPS, replace(PLAN, batch_size=request.param))


def by_name(report):
    return {one.method: one for one in report.rows}


def test_plain_comes_first_and_is_as_fast_as_itself(report):
    plain = report.rows[0]
    assert plain.method == "plain"
    assert plain.speedup == 1.0
    assert plain.exact_match_tokens == plain.exact_match_windows == 1.0
    assert plain.acceptance_rate is None
    assert plain.mean_acceptance_length == 1.0
    assert plain.expected_speedup is None


def test_the_split_adds_up_to_the_total_and_the_histogram_to_the_passes(report):
    for one in report.rows:
        assert sum(one.seconds.values()) == pytest.approx(one.seconds_total)
        assert all(seconds >= 0 for seconds in one.seconds.values())
        assert sum(one.accepted_histogram.values()) == one.passes
        held = sum(count * passes for count, passes in one.accepted_histogram.items())
        assert held == one.accepted <= one.drafted
        assert one.rtf == pytest.approx(one.seconds_total / report.audio_seconds)
        assert one.rtf_spread[0] <= one.rtf <= one.rtf_spread[1]


def test_what_a_pass_emits_is_what_was_accepted_and_a_token_more(report):
    guessing = by_name(report)["guessing"]
    assert 0 < guessing.acceptance_rate < 1
    assert guessing.acceptance_rate == guessing.accepted / guessing.drafted
    assert guessing.mean_acceptance_length == 1 + guessing.accepted / guessing.passes


def test_oracles_say_what_plain_says_in_fewer_passes_the_longer_they_draft(report):
    oracles = [by_name(report)[f"oracle-{length}"] for length in ORACLE_LENGTHS]
    for one in oracles:
        assert one.exact_match_windows == one.exact_match_tokens == one.acceptance_rate == 1.0
    passes = [report.rows[0].passes] + [one.passes for one in oracles]
    assert passes == sorted(passes, reverse=True)
    assert passes[-1] < passes[0]


def test_a_slow_drafter_is_called_slower_in_words(report):
    assert by_name(report)["napping"].speedup < 1
    assert any(note.startswith("napping is slower than plain here: 0.") for note in report.notes)
    assert not [note for note in report.notes if "plain is slower" in note]


def test_the_document_keeps_its_keys(report):
    document = report.document()
    top = {"host", "device", "dtype", "audio_seconds", "rows", "versions", "notes", "machine"}
    assert top <= document.keys()
    assert document["audio_seconds"] == 5.0
    named = "method ms_per_token speedup rtf acceptance_rate mean_acceptance_length "
    named += "exact_match_tokens exact_match_windows peak_mb bleu chrf ter"
    for one in document["rows"]:
        assert set(named.split()) <= one.keys()
    assert {"python", "torch"} <= document["versions"].keys()


def test_files_are_scored_whole_and_against_their_own_reference():
    host = ScriptedWhisper()
    alone = bench(host, {}, CLIPS, replace(PLAN, oracle=False, rounds=1))
    assert alone.rows[0].bleu is None
    lane = Lane(host, PlainMethod())
    course = race(host, [lane], batches(CLIPS, host, "en", None, 5), 1, PeakMemory())
    texts = [said.text for said in course.laps["plain"][0].rows]
    references = [" ".join(texts[:2]), " ".join(texts[2:])]
    plan = replace(PLAN, oracle=False, rounds=1, references=references)
    scored = bench(host, {}, CLIPS, plan).rows[0]
    assert scored.bleu == pytest.approx(100)
    assert scored.ter == 0
    assert scored.signatures["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")


class Roll:
    """A contender that only writes down when it was its turn."""

    kind, lossy, includes = "peer", False, ""

    def __init__(self, name, turns, fails=False):
        self.name, self.turns, self.fails = name, turns, fails

    def lap(self, batch, sound):
        self.turns.append(self.name)
        if self.fails:
            raise PeerError("out of breath")
        rows = tuple(Said((1, 2), "") for _ in batch.tasks)
        return Lap(rows, Split(other=1.0))


def test_the_order_rotates_and_the_warm_up_is_dropped():
    host, turns = ScriptedWhisper(), []
    work = batches([clip(0)], host, "en", None, 1)
    told = []
    course = race(
        host,
        [Roll(name, turns) for name in "abc"],
        work,
        3,
        PeakMemory(),
        lambda done, whole: told.append((done, whole)),
    )
    assert ["".join(turns[i : i + 3]) for i in range(0, 12, 3)] == ["abc", "bca", "cab", "abc"]
    assert {name: len(laps) for name, laps in course.laps.items()} == {"a": 3, "b": 3, "c": 3}
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_peer_that_fails_is_out_and_the_race_goes_on():
    turns: list[str] = []
    peers = [Roll("good", turns), Roll("bad", turns, fails=True)]
    plan = replace(PLAN, oracle=False, peers=peers, missing={"absent": "not installed"})
    report = bench(ScriptedWhisper(), {}, CLIPS, plan)
    rows = by_name(report)
    assert turns.count("bad") == 1
    assert rows["bad"].failed == "out of breath"
    assert rows["absent"].failed == "not installed"
    assert rows["bad"].ms_per_token is rows["absent"].ms_per_token is None
    assert rows["good"].ms_per_token == pytest.approx(500)
    assert rows["good"].passes is None


def test_no_rounds_are_refused():
    with pytest.raises(UsageError, match="--rounds 0"):
        replace(PLAN, rounds=0)


def test_methods_are_raced_under_the_names_they_are_given():
    entered = contenders(ScriptedWhisper(), {"one": Napping(), "two": Napping()}, PLAN)
    assert [one.name for one in entered][:3] == ["plain", "one", "two"]


def said(*tokens):
    return Said(tokens, "")


def test_tokens_match_up_to_the_first_that_differs():
    plain = [said(1, 2, 3, 4), said(5, 6)]
    assert exact_tokens(plain, plain) == 1.0
    assert exact_tokens([said(1, 9, 3, 4), said(5, 6)], plain) == pytest.approx(3 / 6)
    assert exact_tokens([said(1, 2, 3, 4, 5, 6), said(5, 6)], plain) == pytest.approx(6 / 8)
    assert exact_windows([said(1, 9, 3, 4), said(5, 6)], plain) == 0.5
    assert exact_tokens([said()], [said()]) == 1.0


def lap(seconds, tokens=(1, 2, 3, 4), **split):
    rows = (Said(tokens, "", passes=3, drafted=6, accepted=(0, 1, 2)),)
    return Lap(rows, Split(encoder=2.0, verify=seconds, **split), forwards=4)


def contender(name="kvspn", *, lossy=False):
    return SimpleNamespace(name=name, kind="pst", lossy=lossy, includes="")


def test_the_middle_round_is_shown_and_speed_leaves_the_encoder_out():
    plain = [lap(4.0), lap(8.0), lap(6.0)]
    found = row(contender(), [lap(2.0), lap(9.0), lap(3.0)], plain, 10.0)
    assert found.ms_per_token == 750
    assert found.ms_per_token_spread == (500, 2250)
    assert found.speedup == 2.0
    assert found.speedup_spread == (8 / 9, 2.0)
    assert found.rtf == 0.5
    assert found.accepted_histogram == {0: 1, 1: 1, 2: 1}


def test_theory_counts_drafting_in_passes_of_plain():
    assert expected_speedup(3.0, lap(1.0), lap(4.0)) == 3.0
    assert expected_speedup(3.0, lap(1.0, draft=4.0), lap(4.0)) == 1.5


@pytest.mark.parametrize(
    ("dtype", "lossy", "words"),
    [
        ("bfloat16", False, "bfloat16 rounds near-ties the other way"),
        ("float32", False, "a near-tie fell the other way"),
        ("bfloat16", True, "--top-k above 1 is lossy by choice"),
    ],
)
def test_output_that_differs_is_explained(dtype, lossy, words):
    plain = [lap(4.0)] * 3
    other = [lap(2.0, tokens=(1, 2, 3, 9))] * 3
    rows = [row(contender("plain"), plain, plain, 1.0)]
    rows.append(row(contender(lossy=lossy), other, plain, 1.0))
    (note,) = notes(rows, dtype)
    assert note.startswith("not plain's words in every window: kvspn in 100%: ")
    assert words in note


def test_a_drafter_slower_only_in_some_rounds_is_told_of_with_that_doubt():
    plain = [lap(4.0), lap(4.1), lap(4.2)]
    rows = [row(contender("plain"), plain, plain, 1.0)]
    rows.append(row(contender(), [lap(3.9), lap(4.2), lap(5.0)], plain, 1.0))
    (note,) = notes(rows, "float32")
    assert note.endswith("50% of its drafts hold; within the spread of the rounds")


def test_a_drafter_whose_own_encoder_eats_what_it_gains_is_told_of():
    plain = [lap(4.0)] * 3
    quick = replace(lap(2.0), split=replace(lap(2.0).split, drafter_encoder=3.0))
    rows = [row(contender("plain"), plain, plain, 1.0), row(contender(), [quick] * 3, plain, 1.0)]
    (note,) = notes(rows, "float32")
    assert "slower than plain from sound to text" in note
    assert "3.0 of them in an encoder of its own" in note


def test_unsteady_rounds_are_called_noise():
    plain = [lap(4.0), lap(6.0), lap(9.0)]
    (note,) = notes([row(contender("plain"), plain, plain, 1.0)], "float32")
    assert "the machine was busy" in note


def test_a_peer_that_says_less_is_not_compared():
    plain = [lap(4.0)] * 3
    peer = SimpleNamespace(name="hasty", kind="peer", lossy=False, includes="")
    rows = [row(contender("plain"), plain, plain, 1.0)]
    rows.append(row(peer, [lap(1.0, tokens=(1, 2))] * 3, plain, 1.0))
    (note,) = notes(rows, "float32")
    assert note == "hasty said 2 tokens where plain said 4: its ms/token does not compare"


def test_a_stopwatch_gives_what_is_left_to_the_loop():
    watch = Stopwatch()
    watch.spent.update({"decode": 10.0, "draft": 3.0, "verify": 5.0, "prepare": 1.0})
    split = watch.split("decode")
    assert split == Split(prepare=1.0, draft=3.0, verify=5.0, other=2.0)
    assert split.decode == split.total == 11.0


def test_peak_memory_says_what_it_means():
    memory = PeakMemory()
    memory.start()
    assert memory.read() is None or memory.read() > 1
    assert "resident memory of the whole process" in memory.meaning


def test_the_accelerator_that_was_asked_for_is_the_one_that_is_waited_for(monkeypatch):
    asked = []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device=None: asked.append(str(device)))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: len(str(device)))
    with Stopwatch("cuda:1").running("verify"):
        pass
    memory = PeakMemory("cuda:1")
    memory.start()
    assert memory.read() == len("cuda:1") / MEGABYTE
    assert asked == ["cuda:1"] * 3


def test_a_batch_that_does_not_fit_in_memory_is_one_line():
    class Hungry:
        name, kind, lossy, includes = "hungry", "pst", False, ""

        def lap(self, batch, sound):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    host = ScriptedWhisper()
    with pytest.raises(ModelError, match="out of memory in the bench") as caught:
        race(host, [Hungry()], batches([clip(0)], host, "en", None, 1), 1, PeakMemory())
    assert "--batch-size" in caught.value.hint


def test_the_encoder_counts_in_the_peak_of_those_that_share_it():
    class Memory:
        peaks = iter([900.0, 10.0, 20.0] * 2)

        def start(self):
            pass

        def read(self):
            return next(self.peaks)

    turns: list[str] = []
    own = Lane(ScriptedWhisper(), PlainMethod())
    work = batches([clip(0)], ScriptedWhisper(), "en", None, 1)
    course = race(ScriptedWhisper(), [own, Roll("peer", turns)], work, 1, Memory())
    peaks = {name: laps[0].peak for name, laps in course.laps.items()}
    assert peaks == {"plain": 900.0, "peer": 10.0}
