"""Who is understood: transcripts of each speaker, held against what was said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from checkpoints import SENTENCE
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.corpus.intelligibility import LOST, Hearing, hearings, sampled
from pst_cli.data.manifest import Utterance
from pst_cli.errors import DataError


def utterance(text, speaker="", language="en", sound: str | None = "a.wav"):
    return Utterance(sound and Path("/") / sound, language, text, {}, speaker=speaker or None)


MANY = st.lists(
    st.builds(
        utterance,
        st.sampled_from(["", "one", "two", "three"]),
        st.sampled_from(["", "ann", "bob"]),
        st.sampled_from(["en", "zh"]),
        st.sampled_from([None, "a.wav", "b.wav"]),
    )
)


@given(many=MANY, count=st.integers(1, 4))
def test_a_sample_has_some_of_every_speaker_and_nothing_that_cannot_be_held_against_text(
    many, count
):
    fit = [one for one in many if one.audio and one.text]
    if not fit:
        with pytest.raises(DataError, match="no speech with a transcript"):
            sampled(many, count)
        return
    tasks = sampled(many, count)
    assert all(task.references == {task.utterance.language: task.utterance.text} for task in tasks)
    for language, speaker in {(one.language, one.speaker) for one in fit}:
        said = [one for one in fit if (one.language, one.speaker) == (language, speaker)]
        taken = [
            task.utterance
            for task in tasks
            if (task.utterance.language, task.utterance.speaker) == (language, speaker)
        ]
        assert len(taken) == min(count, len(said))
        assert set(taken) <= set(said)
    assert tasks == sampled(many, count)


def test_speakers_are_told_apart_by_language_and_the_best_understood_come_first():
    spoken = {
        "the cat sat down": utterance("the cat sat", "ann"),
        "the dog": utterance("the dog", "bob"),
        "那": utterance("狗睡", "ann", "zh"),
        "oh": utterance("der Hund", "", "de"),
    }
    tasks = sampled([*spoken.values(), utterance("never read", "bob")], 9)
    texts = {(one.id, one.language): text for text, one in spoken.items()}
    bob, ann, chinese, german = hearings(tasks, texts)
    assert bob == Hearing("en", "bob", 1, 0.0, 0.0, 0.0)
    assert (ann.speaker, ann.wer) == ("ann", pytest.approx(100 / 3))
    assert (chinese.language, chinese.wer, chinese.cer) == ("zh", None, 100.0)
    assert (german.speaker, german.wer) == ("", 100.0)
    assert [one.lost for one in (bob, ann, chinese, german)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("median", "lost"), [(LOST, False), (LOST + 1, True), (0.0, False), (None, False)]
)
def test_the_middle_utterance_decides(median, lost):
    assert Hearing("en", "", 1, 99.0, 99.0, median).lost is lost


def test_a_loop_alone_decides_nothing():
    spoken = [utterance(f"the {animal} sat", "ann") for animal in ("cat", "dog", "cow")]
    texts = {(one.id, "en"): one.text for one in spoken}
    texts[spoken[1].id, "en"] = "the dog " * 99
    (ann,) = hearings(sampled(spoken, 3), texts)
    assert ann.wer is not None
    assert ann.wer > 100
    assert (ann.median, ann.lost) == (0.0, False)


def test_words_are_counted_where_there_are_any_and_characters_elsewhere():
    spoken = [utterance("one two", "ann"), utterance("狗睡", "ann", "zh")]
    texts = dict(zip([(one.id, one.language) for one in spoken], ["one too", "狗水"], strict=True))
    english, chinese = hearings(sampled(spoken, 1), texts)
    assert (english.median, english.wer) == (50.0, 50.0)
    assert (chinese.median, chinese.wer, chinese.cer) == (50.0, None, 50.0)


# The command


@pytest.fixture
def manifest(speech, tmp_path):
    """A clear voice, one of two, and one that says something else than it is written to say."""
    said = {"clear": SENTENCE, "alike": SENTENCE, "mumbling": "Something else altogether!"}
    lines = []
    for speaker, text in said.items():
        for take in range(3):
            shutil.copy(speech, tmp_path / f"{speaker}{take}.wav")
            line = {"audio": f"{speaker}{take}.wav", "language": "de", "text": text}
            lines.append({**line, "speaker": speaker})
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def hear(pst, talking_checkpoint, manifest):
    return lambda *more: pst("data", "hear", manifest, "--model", talking_checkpoint, *more)


def test_a_line_tells_of_each_speaker_and_of_who_is_not_understood(hear):
    done = hear("--sample", "2")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert rows[0] == ["de", "clear", "2", "0.0", "0.0", "0.0"]
    assert rows[1] == ["de", "alike", "2", "0.0", "0.0", "0.0"]
    assert rows[2][:3] == ["de", "mumbling", "2"]
    assert "de: mumbling is not understood" in done.err
    assert "clear is not" not in done.err


def test_the_document_says_what_was_heard_and_how_errors_are_counted(hear, talking_checkpoint):
    done = hear("--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["model"] == str(talking_checkpoint)
    assert "jiwer" in document["error_rates"]
    told = {one["speaker"]: one for one in document["speakers"]}
    assert told["clear"]["utterances"] == 3
    assert [told[name]["lost"] for name in ("clear", "mumbling")] == [False, True]


def test_sound_that_cannot_be_read_does_not_stop_the_rest(hear, manifest):
    (manifest.parent / "clear0.wav").write_bytes(b"no sound at all")
    done = hear("--quiet")
    assert done.code == 1
    assert "train.jsonl:1" in done.err
    assert done.out.splitlines()[1].split() == ["de", "clear", "2", "0.0", "0.0", "0.0"]


def test_where_nothing_can_be_read_there_is_nothing_to_tell(hear, manifest):
    for sound in manifest.parent.glob("*.wav"):
        sound.write_bytes(b"no sound at all")
    done = hear()
    assert (done.code, done.out) == (1, "")
    assert "nothing to tell" in done.err


def test_a_manifest_without_transcripts_is_refused(pst, talking_checkpoint, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"audio": "a.wav", "language": "de", "translations": {"en": "Hi."}}\n')
    done = pst("data", "hear", path, "--model", talking_checkpoint)
    assert done.code == 1
    assert "no speech with a transcript" in done.err
