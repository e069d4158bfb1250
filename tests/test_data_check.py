"""A check finds what spoils training, says where, and finds nothing in what is sound."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.audio.spans import span_seconds
from pst_cli.data.check import check
from pst_cli.data.findings import ERROR, KINDS, WARNING
from pst_cli.data.manifest import Utterance, read_manifest, write_manifest
from pst_cli.data.outliers import FEWEST, Figure, odd_lengths, odd_rates, outliers
from pst_cli.data.texts import normalised, size, wrong_script
from pst_cli.errors import AudioError, DataError

SECONDS = 5.0  # s; of every sound file here


def measure(path: Path) -> float:
    """Sound files whose content is never looked into."""
    if path.name == "broken.wav":
        raise AudioError(f"{path} is no sound")
    return SECONDS


@pytest.fixture
def corpus(tmp_path):
    """Write manifests of records beside sound that is there; the findings as (kind, place)."""

    def write(*splits: list[dict], there: str = "a.wav b.wav c.wav broken.wav") -> list[Path]:
        for name in there.split():
            (tmp_path / name).touch()
        paths = [tmp_path / f"{name}.jsonl" for name in ("train", "dev", "test")[: len(splits)]]
        for path, records in zip(paths, splits, strict=True):
            write_manifest(path, [spoken(tmp_path, **record) for record in records])
        return paths

    return write


def spoken(folder: Path, **changes) -> Utterance:
    given = {"audio": "a.wav", "language": "de", "text": "Guten Tag", "translations": {}} | changes
    audio = given.pop("audio")
    return Utterance(audio=audio and folder / audio, **given)


def found(paths: list[Path], quick: bool = False) -> list[tuple[str, str]]:
    report = check(paths, None if quick else measure)
    return [(one.kind, f"{Path(one.place).name}") for one in report.findings]


def test_the_clips_of_the_tests_are_sound(clips):
    report = check([clips / "manifest.jsonl"], span_seconds)
    assert report.count(ERROR) == 0
    assert report.manifests == {str(clips / "manifest.jsonl"): 13}
    stated = sum(one.duration for one in read_manifest(clips / "manifest.jsonl"))
    hours = sum(tally.seconds for tally in report.languages.values())
    assert hours == pytest.approx(stated, abs=13 * 0.01)


def test_a_sound_manifest_has_no_finding(corpus):
    assert found(corpus([{}, {"audio": "b.wav", "text": "Gute Nacht", "start": 1.0}])) == []


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"audio": "none.wav"}, "missing-audio"),
        ({"audio": "broken.wav"}, "unreadable-audio"),
        ({"start": 5.0}, "past-the-end"),
        ({"start": 1.0, "end": 5.5}, "past-the-end"),
        ({"text": " "}, "no-text"),
        ({"text": "", "translations": {"fr": "Bonjour"}}, "empty-text"),
        ({"translations": {"fr": ""}}, "empty-text"),
        ({"translations": {"pt": "Bom dia"}}, "ignored-translation"),
        ({"translations": {"de": "Gute Nacht"}}, "ignored-translation"),
        ({"text": "你好"}, "wrong-script"),
        ({"translations": {"zh": "Not one character"}}, "wrong-script"),
        ({"translations": {"en": "Добрый день, Anna"}}, "wrong-script"),
        ({"duration": 3.0}, "duration"),
    ],
)
def test_a_fault_is_found_where_it_is(corpus, record, kind):
    fine = {"audio": "b.wav"}
    assert found(corpus([fine, record])) == [(kind, "train.jsonl:2")]


def test_a_start_behind_the_end_has_no_length(corpus):
    paths = corpus([{"start": 99.0, "text": "Guten Tag", "translations": {"en": "Good day"}}])
    report = check(paths, measure)
    assert "past-the-end" in {one.kind for one in report.findings}
    assert report.languages["de"].seconds == 0


def test_a_rounded_length_is_no_fault(corpus):
    assert found(corpus([{"end": 5.05, "duration": 5.0}])) == []


def test_more_than_a_window_is_told(corpus):
    long = {"audio": None, "end": 31.0, "start": 0.5}
    assert found(corpus([long])) == [("too-long", "train.jsonl:1")]


def test_a_quick_check_opens_no_sound_but_misses_none(corpus):
    paths = corpus([{"audio": "broken.wav"}, {"audio": "none.wav"}])
    assert found(paths, quick=True) == [("missing-audio", "train.jsonl:2")]


def test_each_file_is_measured_once_whatever_it_holds(corpus):
    paths = corpus([{"start": 0.1 * number, "end": 3.0} for number in range(9)])
    seen, told = [], []
    check(
        paths,
        lambda path: seen.append(path.name) or SECONDS,
        lambda done, total: told.append((done, total)),
    )
    assert seen == ["a.wav"]
    assert told == [(1, 1)]


def test_all_bad_lines_are_listed_beside_what_the_good_ones_show(corpus):
    [path] = corpus([{"audio": "none.wav"}])
    path.write_text("{\n" + path.read_text() + "[]\n")
    assert found([path]) == [
        ("bad-line", "train.jsonl:1"),
        ("bad-line", "train.jsonl:3"),
        ("missing-audio", "train.jsonl:2"),
    ]


def test_a_manifest_that_is_not_there_stops_the_check(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        check([tmp_path / "none.jsonl"])


# Twice


def test_the_same_stretch_twice_is_a_duplicate_or_a_contradiction(corpus):
    lines = [{}, {"text": "guten tag!"}, {"text": "Gute Nacht"}, {"start": 2.0}, {"end": 2.0}]
    assert found(corpus(lines)) == [
        ("duplicate", "train.jsonl:2"),
        ("contradiction", "train.jsonl:3"),
    ]


def test_what_two_splits_share_is_told_in_the_later_one(corpus):
    train = [{"speaker": "anna"}, {"audio": "b.wav", "text": "Ja", "translations": {"en": "Yes"}}]
    dev = [
        {"text": "Was nun", "start": 1.0},
        {"audio": "c.wav", "text": "Guten, Tag!"},
        {"audio": "d.wav", "language": "fr", "text": "Oui", "translations": {"en": "YES"}},
        {"audio": "e.wav", "text": "So", "speaker": "anna"},
        {"audio": "f.wav", "text": "Na", "speaker": "anna"},
    ]
    paths = corpus(train, dev, there="a.wav b.wav c.wav d.wav e.wav f.wav")
    assert found(paths) == [
        ("shared-audio", "dev.jsonl:1"),
        ("shared-text", "dev.jsonl:2"),
        ("shared-text", "dev.jsonl:3"),
        ("shared-speaker", "dev.jsonl:4"),
    ]
    told = {one.message.rsplit("as ")[-1] for one in check(paths, measure).findings}
    assert told == {f"{paths[0]}:1", f"{paths[0]}:2"}


def test_three_splits_are_all_held_against_one_another(corpus):
    paths = corpus([{}], [{"audio": "b.wav", "text": "Ja"}], [{"audio": "b.wav", "text": "So"}])
    assert found(paths) == [("shared-audio", "test.jsonl:1")]


# Out of proportion


def written(number: int, source: str, target: str) -> Utterance:
    place = f"train.jsonl:{number}"
    return Utterance(Path("a.wav"), "en", source, {"zh": target}, duration=2.0, place=place)


def corpus_of(ratio: int) -> list[Utterance]:
    """Sentences of many lengths, Chinese in proportion but for a little."""
    chance = random.Random(3)
    lengths = [chance.randrange(5, 60) for _ in range(99)]
    return [
        written(number, "so " * ratio * length, "字" * (length + chance.randrange(-1, 2)))
        for number, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("ratio", [1, 3])
def test_only_a_translation_out_of_proportion_is_told(ratio):
    many = corpus_of(ratio)
    assert list(odd_lengths(many)) == []
    many.append(written(99, "so " * 30, "字" * 150))
    many.append(written(100, "so " * 120, "字"))
    assert [one.place for one in odd_lengths(many)] == ["train.jsonl:99", "train.jsonl:100"]
    assert "longer" in next(odd_lengths(many)).message


def test_two_words_may_differ_more_than_two_sentences():
    assert list(odd_lengths([*corpus_of(1), written(99, "yes", "是的")])) == []


def test_only_a_pace_that_nobody_has_is_told():
    many = [written(number, "word " * (4 + number % 3), "字") for number in range(60)]
    many.append(written(60, "word " * 100, "字"))
    assert [one.place for one in odd_rates(many, lambda one: one.duration)] == ["train.jsonl:60"]
    assert list(odd_rates(many, lambda one: None)) == []


@given(st.lists(st.floats(-0.4, 0.4), min_size=FEWEST, max_size=60), st.integers(0, 9))
def test_an_outlier_is_far_from_most_and_never_one_of_most(values, extremes):
    extremes = min(extremes, len(values) // 4)
    one = written(1, "a", "b")
    figures = [Figure(value, one) for value in [*values, *[99.0] * extremes]]
    far = [figure.value for figure, _ in outliers(figures)]
    assert far.count(99.0) == extremes
    assert len(far) < len(figures) / 2


def test_a_few_figures_are_not_judged():
    one = written(1, "a", "b")
    few = [Figure(0.0, one)] * (FEWEST - 2) + [Figure(99.0, one)]
    assert list(outliers(few)) == []
    assert len(list(outliers([*few, Figure(0.0, one)]))) == 1


# Texts


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("zh", "设定二十九度"),
        ("zh", "OK"),
        ("zh", "我用 iPhone"),
        ("zh", "2009"),
        ("en", "Beijing (北京) is big"),
        ("de", "Größe, Öl, ſ"),
        ("fr", "Cœur, Noël, ÿ"),
        ("es", "¿Qué? 1ª vez"),
        ("it", "…"),
    ],
)
def test_a_text_may_be_in_its_language(language, text):
    assert wrong_script(language, text) is None


@pytest.mark.parametrize(
    ("language", "text"),
    [("zh", "nothing Chinese"), ("en", "你好"), ("fr", "Привет"), ("it", "こんにちは ciao")],
)
def test_a_text_may_not_be_in_its_language(language, text):
    assert wrong_script(language, text)


@given(st.text("aé 字, ", max_size=20), st.text("aé 字, ", max_size=20))
def test_what_texts_say_adds_up(one, other):
    assert size(f"x{one}x{other}x") == size(f"x{one}x") + size(f"x{other}x") - 1
    assert normalised(one + other) == normalised(one) + normalised(other)


# The figures


def test_hours_are_counted_by_language_and_direction(corpus):
    paths = corpus(
        [
            {"translations": {"en": "Good day", "pt": "Bom dia"}},
            {"audio": "b.wav", "end": 2.0, "text": "Ja", "translations": {"en": "Yes"}},
            {"audio": None, "text": "Nein", "translations": {"en": "No"}},
            {"audio": "none.wav", "language": "en", "text": "No"},
        ]
    )
    document = check(paths, measure).document()
    german = {"utterances": 2, "hours": round(7 / 3600, 4), "unmeasured": 0, "text_only": 1}
    english = {"utterances": 1, "hours": 0.0, "unmeasured": 1, "text_only": 0}
    assert document["languages"] == {"en": english, "de": german}
    assert document["directions"] == [
        {"source": "en", "target": "en"} | english,
        {"source": "de", "target": "en"} | german,
        {"source": "de", "target": "de"} | german,
    ]
    assert (document["errors"], document["warnings"]) == (1, 1)
    assert {"level", "kind", "place", "message"} == set(document["findings"][0])


def test_every_kind_is_an_error_or_a_warning():
    assert {kind.level for kind in KINDS.values()} == {ERROR, WARNING}
