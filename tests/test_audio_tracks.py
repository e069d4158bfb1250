"""Sound tracks of a container: the one asked for, or the one that a player would begin with."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.stream import Disposition
from test_audio import SAMPLE_RATE, loudest_frequency

from pst_cli.audio import open_audio
from pst_cli.audio.spans import span_seconds
from pst_cli.audio.tracks import choose_track, listed
from pst_cli.errors import AudioError

TONES = (300, 600, 900)  # Hz, a track each
RATE = 48_000  # Hz
SIZE = 1024  # samples of an AAC frame


def film(path, *, default=None, languages=("fra", "eng", ""), titles=("", "Director", "")):
    """A second of sound a track, each at its own pitch; `default` is marked so, by index."""
    with av.open(str(path), "w", format="matroska") as container:
        tracks = []
        for index, (language, title) in enumerate(zip(languages, titles, strict=True)):
            track = container.add_stream("aac", rate=RATE, layout="mono")
            track.disposition = Disposition.default if index == default else Disposition(0)
            track.metadata.update({"language": language} if language else {})
            track.metadata.update({"title": title} if title else {})
            tracks.append(track)
        for track, pitch in zip(tracks, TONES, strict=False):
            wave = 0.4 * np.sin(2 * np.pi * pitch * np.arange(RATE // SIZE * SIZE) / RATE)
            for start in range(0, len(wave), SIZE):
                piece = wave[None, start : start + SIZE].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
                frame.rate, frame.pts = RATE, start
                container.mux(track.encode(frame))
            container.mux(track.encode())
    return path


def heard(path, track=None):
    """The pitch of what is heard, and what is told of the choice."""
    with open_audio(path, track) as audio:
        sound = np.concatenate(list(audio.blocks()))
        assert not audio.notes
        assert len(sound) == pytest.approx(SAMPLE_RATE, rel=0.1)
        return round(loudest_frequency(sound), -2), audio.choice


def test_the_track_marked_default_is_heard_and_that_is_told(tmp_path):
    pitch, choice = heard(film(tmp_path / "a.mkv", default=1))
    assert pitch == TONES[1]
    assert choice == (
        "hearing sound track 2 of 3: 1 (fra), 2 (eng, Director), 3; --track chooses another"
    )


def test_without_a_mark_the_first_track_is_heard(tmp_path):
    assert heard(film(tmp_path / "a.mkv"))[0] == TONES[0]


@pytest.mark.parametrize("track", [1, 2, 3])
def test_any_track_can_be_asked_for_and_nothing_is_told_of_it(tmp_path, track):
    assert heard(film(tmp_path / "a.mkv", default=1), track) == (TONES[track - 1], None)


def test_a_film_with_one_track_leaves_nothing_to_choose(tmp_path):
    path = film(tmp_path / "a.mkv", languages=("eng",), titles=("",))
    assert heard(path) == heard(path, 1) == (TONES[0], None)


def test_a_missing_track_is_told_with_those_there_are(tmp_path):
    path = film(tmp_path / "a.mkv")
    with pytest.raises(AudioError) as caught:
        open_audio(path, 4)
    assert caught.value.message == (
        f"{path} has no sound track 4, but 1 (fra), 2 (eng, Director), 3"
    )
    assert caught.value.hint == "choose another with --track"


def test_a_sound_file_has_one_track(clips):
    with open_audio(clips / "jfk.flac", 1) as audio:
        assert audio.choice is None
    with pytest.raises(AudioError, match=r"has no sound track 2, but 1$"):
        open_audio(clips / "jfk.flac", 2)


def test_titles_are_printable(tmp_path):
    path = film(tmp_path / "a.mkv", titles=("two\nlines", "", ""))
    choice = heard(path)[1]
    assert choice is not None
    assert r"1 (fra, two\nlines)" in choice


class Track:
    """As much of a stream as the choice looks at; FFmpeg may know no decoder for it."""

    disposition = Disposition.default
    metadata: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, codec_context):
        self.codec_context = codec_context


def test_a_track_that_cannot_be_decoded_is_passed_over_but_keeps_its_number():
    tracks = [Track(None), Track(object())]
    assert choose_track(tracks, None, "a.mkv") is choose_track(tracks, 2, "a.mkv") is tracks[1]
    assert listed(tracks) == "1, 2"
    with pytest.raises(AudioError, match=r"a\.mkv: sound track 1 cannot be decoded"):
        choose_track(tracks, 1, "a.mkv")
    with pytest.raises(AudioError, match="no sound track that can be decoded"):
        choose_track(tracks[:1], None, "a.mkv")


def test_lengths_are_those_of_the_track_that_is_heard(tmp_path):
    assert span_seconds(film(tmp_path / "a.mkv", default=2)) == pytest.approx(1, abs=0.1)


def test_a_film_that_lacks_the_track_does_not_stop_the_others(
    pst, tmp_path, monkeypatch, talking_checkpoint
):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "one.mkv", languages=("eng",), titles=("",))
    film(tmp_path / "three.mkv")
    done = pst("subtitle", ".", "--to", "en", "--track", "3", "--model", talking_checkpoint)
    assert done.code == 1
    assert "one.mkv has no sound track 3, but 1 (eng)" in done.err
    assert "1 done, 0 skipped, 1 failed" in done.err


def test_the_track_that_is_heard_is_told_before_anything_is_decoded(
    pst, tmp_path, monkeypatch, talking_checkpoint
):
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "film.mkv", default=2)
    done = pst("subtitle", "film.mkv", "--to", "en", "--model", talking_checkpoint)
    assert done.code == 0
    assert "pst: film.mkv: hearing sound track 3 of 3: 1 (fra)" in done.err
    assert done.err.splitlines()[-1] == "pst: wrote film.en.srt"
