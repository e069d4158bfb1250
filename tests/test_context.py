"""Windows at their own length: what a host is given, and that company changes nothing it says."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from adapters import write_adapter
from checkpoints import SENTENCE, VOCABULARY, WIDTH
from conftest import CLIPS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_drafters import FORMS, network
from test_host import END, SPECIAL, START, tiny
from test_host import VOCABULARY as TINY_VOCABULARY

from pst_cli.bench.clips import Batch, Task
from pst_cli.bench.lanes import Lane, Part, Sound
from pst_cli.bench.race import hear
from pst_cli.bench.timing import Split
from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.beam import Search, decode_beams
from pst_cli.decoding.guards import REPETITION, Guards
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.proposals import Guide
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.errors import ModelError
from pst_cli.methods import PLAIN, Drafting, KVSPNMethod, SpeculativeMethod
from pst_cli.models.adapter import Adapter, read_adapter_config
from pst_cli.models.context import (
    CONTEXTS,
    LEAST,
    STEP,
    TAIL,
    padded_alike,
    padded_seconds,
    taught_context,
)
from pst_cli.models.decoder import Decoder
from pst_cli.models.encoded import Encoded
from pst_cli.models.heads import Heads
from pst_cli.models.host import Host
from pst_cli.models.kvspn import KVSPN
from pst_cli.models.kvspn_config import KVSPNConfig
from pst_cli.models.session import Session
from pst_cli.models.vocabularies import ANYTHING
from pst_cli.training.recipes.host import HostPlan, taught
from pst_cli.translator import Options, Translator, elected
from pst_cli.types import SAMPLE_RATE, WINDOW_SECONDS, Window

FRAMES = 50  # of the encoder, a second
RULES = TokenRules(SPECIAL, TINY_VOCABULARY)
PROMPT, LIMIT = [START], 24
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=4)  # frames
UNTAUGHT = "was not taught sound at its own length"


# What a window is padded to


@given(st.floats(0.01, WINDOW_SECONDS))
@example(11.0)
@example(WINDOW_SECONDS)
def test_own_length_is_the_sound_its_tail_and_the_rest_of_a_second(seconds):
    padded = padded_seconds(seconds, "own")
    assert padded == math.floor(padded)
    assert padded - STEP < seconds + TAIL
    assert seconds + TAIL <= padded or padded == WINDOW_SECONDS >= seconds
    assert padded_seconds(seconds, "own", "full") == max(padded, LEAST)
    for taught_to in CONTEXTS:
        assert padded_seconds(seconds, "full", taught_to) == WINDOW_SECONDS


def window(seconds, seed=0):
    sound = np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    return Window(0.0, sound.astype(np.float32))


def test_windows_meet_those_that_are_padded_alike():
    windows = [window(seconds) for seconds in (2.5, 29.9, 2.1, 0.1, 30.0)]
    assert padded_alike(windows, "own") == {3.0: [0, 2], 30.0: [1, 4], 1.0: [3]}
    assert padded_alike(windows, "own", "full") == {LEAST: [0, 2, 3], 30.0: [1, 4]}
    assert padded_alike(windows, "full") == {30.0: [0, 1, 2, 3, 4]}


# Rows of several lengths in one batch


def row(model, frames, seed):
    """What is heard of one window: made up, as clear-cut as a tiny encoder's states."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(1, frames, model.config.d_model, generator=generator)
    return Encoded(states, states)


def rows(model, lengths):
    return [row(model, frames, index) for index, frames in enumerate(lengths)]


def begin(model, heard, beams=1):
    config = model.config
    heads = config.decoder_attention_heads
    decoder = Decoder(model.model.decoder.state_dict(), config.decoder_layers, heads)
    with torch.inference_mode():
        return Session(decoder, decoder.open(heard.host, beams, heard.mask))


def drafter(session, heard, form):
    """A drafter of one form, made as its method makes it."""
    guide = Guide(RULES, len(PROMPT), END)
    with torch.inference_mode():
        if form == "plain":
            return Plain()
        if form == "draft model":
            other = tiny(99, layers=1)
            smaller = SimpleNamespace(
                open=lambda states, beams, mask: begin(other, Encoded(states, states, mask), beams)
            )
            always = Drafting(length=3, confidence=0.0)
            heads = Heads(ANYTHING, begin(other, heard).decoder)
            method = SpeculativeMethod(smaller, heads, shares_encoder=True, drafting=always)
        else:
            net = network(tiny(98, layers=3), **FORMS[form])
            always = Drafting(length=net.config.draft_length, confidence=0.0)
            method = KVSPNMethod(net, Heads(net.vocabularies, session.decoder), always)
        return method.start(session, heard.drafter, guide)


def said(model, heard, form="plain", beams=1):
    session = begin(model, heard, beams)
    prompts, drafts = [PROMPT] * len(heard), drafter(session, heard, form)
    if beams > 1:
        return decode_beams(session, prompts, SPECIAL, Search(drafts, RULES, LIMIT), beams)
    return decode(session, prompts, SPECIAL, Strategy(drafts, Greedy(), RULES, LIMIT))


@settings(max_examples=20)
@given(LENGTHS, st.integers(1, 3))
def test_a_window_says_what_it_says_alone_whatever_is_beside_it(lengths, beams):
    model = tiny(31)
    heard = rows(model, lengths)
    together = said(model, Encoded.join(heard), beams=beams)
    for one, alone in zip(together, heard, strict=True):
        (expected,) = said(model, alone, beams=beams)
        assert one.tokens == expected.tokens
        assert one.logprob == pytest.approx(expected.logprob, abs=1e-3)
        assert one.no_speech_probability == pytest.approx(expected.no_speech_probability, abs=1e-5)


@pytest.mark.parametrize("form", ["draft model", *FORMS])
@settings(max_examples=5)
@given(LENGTHS, st.integers(1, 3))
def test_drafts_change_no_token_beside_windows_of_other_lengths(form, lengths, beams):
    model = tiny(32, layers=3)
    heard = Encoded.join(rows(model, lengths))
    drafted, plain = said(model, heard, form, beams), said(model, heard, beams=beams)
    assert [one.tokens for one in drafted] == [one.tokens for one in plain]
    assert sum(one.drafted for one in drafted) > 0


def first_drafts(model, heard, form):
    """What a drafter would say after a few tokens that the host was fed."""
    session = begin(model, heard)
    contexts = [[START, 20, 21, 22]] * len(heard)
    with torch.inference_mode():
        session.forward(torch.tensor([row[:-1] for row in contexts]), [0] * len(heard))
        drafts = drafter(session, heard, form)
        return [draft.tokens for draft in drafts.draft(contexts, [8] * len(heard))]


@pytest.mark.parametrize("form", ["draft model", *FORMS])
def test_a_drafter_hears_no_more_of_the_padding_than_the_host(form):
    model = tiny(33, layers=3)
    for seed in range(5):
        heard = [row(model, frames, 10 * seed + frames) for frames in (3, 40, 9, 3)]
        alone = [first_drafts(model, one, form)[0] for one in heard]
        assert first_drafts(model, Encoded.join(heard), form) == alone


def test_nothing_that_stands_in_the_padding_is_heard():
    model = tiny(34)
    heard = Encoded.join(rows(model, [4, 20]))
    loud = heard.host.clone()
    loud[~heard.mask] = 1e3
    scores = []
    for states in (heard.host, loud):
        session = begin(model, Encoded(states, states, heard.mask))
        with torch.inference_mode():
            scores.append(session.forward(torch.tensor([[START, 20, 21]] * 2), [0, 0]))
    assert torch.equal(*scores)


def test_windows_that_stay_keep_their_own_lengths_when_others_leave():
    model = tiny(35)
    heard = rows(model, [4, 20, 11])
    fed, more = torch.tensor([[START, 20, 21]]), torch.tensor([[22, 23]])
    session = begin(model, Encoded.join(heard))
    with torch.inference_mode():
        session.forward(fed.expand(3, -1), [0, 0, 0])
        session.select(torch.tensor([2, 0]))
        together = session.forward(more.expand(2, -1), [3, 3])
        for states, one in zip(together, (heard[2], heard[0]), strict=True):
            alone = begin(model, one)
            alone.forward(fed, [0])
            assert torch.allclose(states, alone.forward(more, [3])[0], atol=1e-4)


def test_windows_of_one_length_need_no_mask():
    model = tiny(36)
    joined = Encoded.join(rows(model, [7, 7]))
    assert joined.mask is None
    assert joined.drafter is joined.host
    ragged = Encoded.join(rows(model, [7, 4]))
    assert ragged.mask.sum(1).tolist() == [7, 4]
    assert ragged[[1, 0]].mask.sum(1).tolist() == [4, 7]


def test_the_bench_puts_windows_back_in_their_order():
    parts = [
        Part(rows, torch.zeros(0), torch.tensor(rows)[:, None, None].expand(-1, frames, 8).float())
        for rows, frames in (([0, 3], 6), ([1], 2), ([2], 4))
    ]
    heard = Sound(parts, Split()).joined([part.encoded for part in parts])
    assert heard.host[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert heard.mask.sum(1).tolist() == [6, 2, 4, 6]
    assert heard.drafter is heard.host


# Hosts and what they were taught


def declare(checkpoint, folder, context):
    """A copy of `checkpoint` whose config.json declares a context."""
    shutil.copytree(checkpoint, folder)
    document = json.loads((folder / "config.json").read_text())
    document["pst"] = {**document.get("pst", {}), "context": context}
    (folder / "config.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def short(talking_checkpoint, tmp_path):
    return declare(talking_checkpoint, tmp_path / "short", "own")


def test_a_host_declares_what_it_was_taught(short, talking_checkpoint, tmp_path):
    assert taught_context(short) == "own"
    assert taught_context(talking_checkpoint) == "full"
    declare(talking_checkpoint, tmp_path / "odd", "sideways")
    with pytest.raises(ModelError, match="another pst: its context is sideways"):
        taught_context(tmp_path / "odd")


def test_an_adapter_declares_it_for_its_host(talking_checkpoint, tmp_path):
    made = write_adapter(talking_checkpoint, tmp_path / "made")
    adapter = declare(made, tmp_path / "adapter", "own")
    assert read_adapter_config(adapter).context == "own"
    Adapter.load(adapter).save(tmp_path / "again")
    for folder, context in ((made, "full"), (adapter, "own"), (tmp_path / "again", "own")):
        host = Host.load(talking_checkpoint, "cpu", torch.float32, folder)
        assert host.context == context


def test_a_host_declares_how_probable_silence_is_where_there_is_none(talking_checkpoint, tmp_path):
    told = declare(talking_checkpoint, tmp_path / "told", "own")
    document = json.loads((told / "config.json").read_text())
    document["pst"]["no_speech_threshold"] = 0.75
    (told / "config.json").write_text(json.dumps(document))
    for folder, threshold in ((told, 0.75), (talking_checkpoint, 0.6)):
        host = Host.load(folder, "cpu", torch.float32)
        assert Translator(host, Options()).guards.no_speech_probability == threshold
    document["pst"]["no_speech_threshold"] = "loud"
    (told / "config.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="another pst: its no_speech_threshold is loud"):
        Host.load(told, "cpu", torch.float32)


@pytest.mark.parametrize(
    ("trained", "declared"), [("own", "own"), ("random", "own"), ("full", "full")]
)
def test_training_declares_what_it_taught(trained, declared):
    assert taught(HostPlan(context=trained)) == declared


@pytest.fixture(scope="module")
def host(tiny_checkpoint):
    """One that was taught every length."""
    found = Host.load(tiny_checkpoint, "cpu", torch.float32)
    found.context = "own"
    return found


def test_a_translator_hears_each_window_at_its_length(host):
    windows = [window(2.5, 1), window(0.3, 2), window(2.1, 3)]
    heard = Translator(host, Options(context="own")).encode(windows)
    assert [len(one.host[0]) for one in heard] == [3 * FRAMES, FRAMES, 3 * FRAMES]
    for one, spoken in zip(heard, windows, strict=True):
        alone = host.encode(host.log_mel([spoken.samples], one.host.shape[1] / FRAMES))
        assert torch.allclose(one.host, alone, atol=1e-4)
    for full in (
        Translator(host, Options(context="full")).encode(windows),
        Translator(host, Options()).encode(windows, "full"),
    ):
        assert [len(one.host[0]) for one in full] == [30 * FRAMES] * 3


@pytest.mark.parametrize(
    ("context", "seconds"), [("own", [10, 10, 13]), ("full", [30] * 3), (None, [30] * 3)]
)
def test_a_host_that_declares_nothing_is_given_ten_seconds_at_least(
    tiny_checkpoint, context, seconds
):
    stock = Host.load(tiny_checkpoint, "cpu", torch.float32)
    windows = [window(2.5, 1), window(0.3, 2), window(12.1, 3)]
    heard = Translator(stock, Options(context=context)).encode(windows)
    assert [len(one.host[0]) / FRAMES for one in heard] == seconds


def test_a_batch_of_any_lengths_is_judged_and_voted_on_as_its_windows_alone(host, monkeypatch):
    monkeypatch.setattr(Decoder, "limit", 40)
    guards = Guards(temperatures=(0.0,))
    translator = Translator(host, Options(context="own", guards=guards))
    translator.rules = TokenRules(host.tokens, VOCABULARY, timestamps=False)
    windows = [window(seconds, seed) for seed, seconds in enumerate((4.0, 0.3, 1.5))]
    prompt = [host.tokens.start, host.tokens.languages["en"], host.tokens.transcribe]
    heard = translator.encode(windows)
    together = translator.decode(Encoded.join(heard), [prompt] * 3, [None] * 3)
    every = translator.host.language_scores(*scored(Encoded.join(heard)))
    for one, alone, scores in zip(together, heard, every, strict=True):
        (expected,) = translator.decode(alone, [prompt], [None])
        assert one.decoded.tokens == expected.decoded.tokens
        assert torch.allclose(scores, host.language_scores(*scored(alone))[0], atol=1e-4)


def test_windows_of_several_lengths_vote_as_they_would_alone(host):
    translator = Translator(host, Options(context="own"))
    windows = [window(0.5, 1), window(6.0, 2)]
    heard = translator.encode(windows)
    best, share = elected(translator.language_scores(heard), windows)
    alone = [host.language_scores(one.host, [best]).exp().item() for one in heard]
    assert share == pytest.approx((0.5 * alone[0] + 6.0 * alone[1]) / 6.5, rel=1e-4)


def test_a_batch_of_the_bench_says_what_its_windows_say_alone(host, monkeypatch):
    monkeypatch.setattr(Decoder, "limit", 40)
    lane = Lane(host, PLAIN)
    lane.rules = TokenRules(host.tokens, VOCABULARY, timestamps=False)
    prompt = (host.tokens.start, host.tokens.languages["en"], host.tokens.transcribe)
    tasks = [
        Task(window(seconds, seed), prompt, None, None) for seed, seconds in enumerate((4.0, 0.3))
    ]

    def lap(*some):
        batch = Batch(0, some, "own")
        return [said.tokens for said in lane.lap(batch, hear(host, batch)).rows]

    assert lap(*tasks) == [tokens for task in tasks for tokens in lap(task)]


def scored(heard):
    return heard.host, ["de", "en", "fr"], heard.mask


# The command line


@pytest.fixture
def frames(monkeypatch):
    """How many frames each call of the encoder gave."""
    found, original = [], Host.encode

    def watched(self, log_mel):
        encoded = original(self, log_mel)
        found.append(encoded.shape[1])
        return encoded

    monkeypatch.setattr(Host, "encode", watched)
    return found


@pytest.mark.parametrize("command", ["translate", "subtitle"])
@pytest.mark.parametrize(
    ("asked", "declared", "seconds"),
    [("auto", True, 4), ("auto", False, 30), ("own", False, 10), ("full", True, 30)],
)
def test_sound_is_padded_as_asked_or_as_the_host_was_taught(
    pst, speech, short, talking_checkpoint, frames, command, asked, declared, seconds
):
    model = short if declared else talking_checkpoint
    given = ("--to", "en", "--from", "de", "--model", model, "--no-vad", "-o", "-")
    done = pst(command, speech, *given, "--context", asked)
    assert done.code == 0
    assert SENTENCE in done.out
    assert frames == [seconds * FRAMES]
    assert (UNTAUGHT in done.err) is (asked == "own" and not declared)


@pytest.fixture
def manifest(speech):
    path = speech.parent / "manifest.jsonl"
    line = {"audio": speech.name, "language": "de", "text": "Er spricht.", "translations": {}}
    path.write_text(json.dumps(line) + "\n")
    return path


@pytest.fixture
def doubted(monkeypatch):
    """Every second row that is decoded at one temperature alone seems to repeat itself."""
    found, original = [], Translator.decode

    def decode(self, encoded, prompts, languages, *, once=False):
        judged = original(self, encoded, prompts, languages, once=once)
        for row in range(len(judged)) if once else ():
            found.append(len(found) % 2 == 0)
            if found[-1]:
                judged[row] = replace(judged[row], flags=(REPETITION,))
        return judged

    monkeypatch.setattr(Translator, "decode", decode)
    return found


@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_what_is_doubtful_at_its_own_length_is_heard_again_in_full(
    pst, tmp_path, manifest, talking_checkpoint, frames, doubted, command
):
    line = json.loads(manifest.read_text())
    speech = manifest.parent / line["audio"]
    names = [str(shutil.copy(speech, tmp_path / f"{number}.wav")) for number in range(5)]
    manifest.write_text("".join(json.dumps(line | {"audio": name}) + "\n" for name in names))
    options = ("--from", "de", "--model", talking_checkpoint, "--context", "own")
    if command == "translate":
        to = ("--to", "en", "--no-vad", "--output-dir", tmp_path / "out")
        done = pst("translate", *names, *to, *options)
        texts = [path.read_text() for path in (tmp_path / "out").glob("*.txt")]
        assert texts == [f"{SENTENCE}\n"] * 5
        assert "repetition" not in done.err
    else:
        done = pst("evaluate", manifest, "--to", "de", *options)
    assert done.code == 0
    assert doubted == [True, False, True, False, True]
    again = [seconds for seconds in frames if seconds == 30 * FRAMES]
    assert 1 <= len(again) <= 3  # encodings, of three windows in all
    assert set(frames) == {10 * FRAMES, 30 * FRAMES}


@pytest.mark.parametrize(
    ("taught_to", "options"),
    [("own", ("--context", "own")), ("full", ()), ("full", ("--context", "own", "--no-fallback"))],
)
def test_nothing_is_heard_twice_where_lengths_were_taught_or_no_fallback_is_wanted(
    pst, manifest, short, talking_checkpoint, frames, doubted, taught_to, options
):
    model = short if taught_to == "own" else talking_checkpoint
    assert pst("evaluate", manifest, "--to", "de", "--model", model, *options).code == 0
    assert len(frames) == 1
    assert doubted == []


def test_clips_of_several_lengths_share_batches(pst, tmp_path, speech, short, frames):
    sound, rate = soundfile.read(speech)
    for number in range(1, 7):
        soundfile.write(tmp_path / f"{number}.wav", sound[: number * rate // 2], rate)
    (tmp_path / "0.wav").write_bytes((tmp_path / "6.wav").read_bytes())
    names = [tmp_path / f"{number}.wav" for number in range(7)]
    given = ("--to", "en", "--model", short, "--no-vad", "--output-dir", tmp_path / "out")
    assert pst("translate", *names, *given, "--from", "de").code == 0
    texts = [path.read_text() for path in (tmp_path / "out").glob("*.txt")]
    assert texts == [f"{SENTENCE}\n"] * 7
    assert set(frames) == {FRAMES, 2 * FRAMES, 3 * FRAMES, 4 * FRAMES}


def test_the_language_is_voted_on_at_own_length(pst, speech, short, frames):
    done = pst("translate", speech, "--to", "en", "--model", short, "--no-vad")
    assert (done.code, done.out) == (0, f"{SENTENCE}\n")
    assert frames == [4 * FRAMES]


@pytest.mark.parametrize("command", ["translate", "subtitle", "bench", "evaluate"])
def test_a_context_that_is_none_is_refused(pst, speech, command):
    to = ("--to", "en")
    done = pst(command, speech, *to, "--context", "sideways")
    assert (done.code, done.out) == (2, "")
    assert "--context sideways" in done.err
    assert "auto, own, full" in done.err


def test_an_evaluation_tells_its_context_and_keeps_to_it(pst, manifest, short, tmp_path, frames):
    kept = tmp_path / "said.jsonl"
    given = ("evaluate", manifest, "--model", short, "--hypotheses", kept, "--json")
    done = pst(*given)
    assert json.loads(done.out)["context"] == "own"
    assert frames == [4 * FRAMES]
    refused = pst(*given, "--context", "full")
    assert (refused.code, refused.out) == (2, "")
    assert "made with another context: own, now full" in refused.err


def test_a_record_from_before_there_was_a_choice_is_of_full_windows(
    pst, manifest, talking_checkpoint, tmp_path
):
    kept = tmp_path / "said.jsonl"
    given = ("evaluate", manifest, "--model", talking_checkpoint, "--hypotheses", kept)
    assert pst(*given).code == 0
    header, *said = kept.read_text().splitlines(keepends=True)
    old = {key: word for key, word in json.loads(header).items() if key != "context"}
    kept.write_text(json.dumps(old) + "\n" + "".join(said))
    assert pst(*given).code == 0
    refused = pst(*given, "--context", "own")
    assert refused.code == 2
    assert "context: full, now own" in refused.err


def test_a_bench_tells_its_context_and_every_method_says_the_same(
    pst, tmp_path, short, talking_checkpoint, frames
):
    torch.manual_seed(0)
    for cross in ("own", "host"):
        config = KVSPNConfig(WIDTH, 2, 2, VOCABULARY, groups=1, cross=cross, draft_length=2)
        KVSPN(config).save(tmp_path / cross)
    clips = [CLIPS / "de-kerstin-0512.ogg", CLIPS / "de-kerstin-0445.ogg"]
    drafters = ("--drafter", tmp_path / "own", "--drafter", tmp_path / "host")
    given = ("--from", "de", "--rounds", 1, "--no-vad", "--json", "--dtype", "float32")
    more = (*drafters, "--draft-model", talking_checkpoint, "--batch-size", 2)
    shown = pst("bench", *clips, *given, *more, "--model", short)
    assert UNTAUGHT not in shown.err
    document = json.loads(shown.out)
    assert document["context"] == "own"
    names = [row["method"] for row in document["rows"]]
    assert names == ["plain", "speculative", "kvspn:own", "kvspn:host"]
    assert {row["exact_match_tokens"] for row in document["rows"]} == {1.0}
    assert {row["tokens"] for row in document["rows"]} == {2 * 6}
    assert set(frames) == {FRAMES, 5 * FRAMES}
    frames.clear()
    shown = pst("bench", *clips, *given, "--model", talking_checkpoint, "--context", "own")
    assert UNTAUGHT in shown.err
    assert set(frames) == {10 * FRAMES}
