"""Corpora as they lie on disk become utterances; what is not there is counted, not invented."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from pst_cli.data.importers import LAYOUTS, import_corpus
from pst_cli.data.importers.table import unescaped, unquoted
from pst_cli.errors import DataError, UsageError


def table(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")
    return path


def sound(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not looked into")
    return path


def told(imported):
    return [(one.language, one.text, dict(one.translations)) for one in imported.utterances]


# Common Voice

VOICE = ("client_id", "path", "sentence", "up_votes", "locale")


@pytest.fixture
def voices(tmp_path):
    """A release in German and Chinese."""
    root = tmp_path / "cv-corpus-4"
    for name in ("a.mp3", "b.mp3"):
        sound(root / "de" / "clips" / name)
    sound(root / "zh-CN" / "clips" / "c.mp3")
    de = [("anna", "a.mp3", '"Er sagte ""ja""."', "2"), ("bert", "b", "Guten Tag.", "2", "de")]
    table(root / "de" / "train.tsv", VOICE, *de)
    table(root / "de" / "validated.tsv", VOICE, *de, ("cleo", "gone.mp3", "Weg.", "2", "de"))
    table(root / "zh-CN" / "train.tsv", VOICE, ("dong", "c.mp3", "你好。", "2", "zh-CN"))
    table(root / "pt" / "train.tsv", VOICE, ("eva", "e.mp3", "Bom dia.", "2", "pt"))
    return root


def test_common_voice_is_read_in_the_languages_pst_knows(voices):
    found = import_corpus("commonvoice", voices)
    assert told(found) == [
        ("de", 'Er sagte "ja".', {}),
        ("de", "Guten Tag.", {}),
        ("zh", "你好。", {}),
    ]
    first, second, _ = found.utterances
    assert first.audio == voices / "de" / "clips" / "a.mp3"
    assert second.audio.name == "b.mp3"
    assert (first.speaker, second.speaker) == ("anna", "bert")


def test_one_language_of_common_voice_may_be_named_by_folder_or_by_option(voices):
    assert told(import_corpus("commonvoice", voices / "zh-CN")) == [("zh", "你好。", {})]
    assert told(import_corpus("commonvoice", voices, None, ["zh"])) == [("zh", "你好。", {})]


def test_clips_that_are_not_there_are_counted(voices):
    found = import_corpus("commonvoice", voices, "validated", ["de"])
    assert (len(found.utterances), found.missing) == (2, 1)


def test_common_voice_tells_the_seconds_of_a_clip_where_it_knows(voices):
    table(voices / "de" / "clip_durations.tsv", ("clip", "duration[ms]"), ("a.mp3", "2400"))
    first, second = import_corpus("commonvoice", voices, None, ["de"]).utterances
    assert (first.duration, second.duration) == (2.4, None)


# CoVoST 2


def test_covost_as_downloaded_is_joined_with_common_voice(voices):
    table(
        voices / "covost_v2.de_en.tsv",
        ("path", "translation", "split"),
        ("a.mp3", r"He said \"yes\".", "train"),
        ("b.mp3", "Good day.", "train_covost"),
        ("gone.mp3", "Away.", "dev"),
        ("unknown.mp3", "Nobody validated it.", "train"),
    )
    found = import_corpus("covost2", voices)
    assert told(found) == [
        ("de", 'Er sagte "ja".', {"en": 'He said "yes".'}),
        ("de", "Guten Tag.", {"en": "Good day."}),
    ]
    assert found.utterances[0].speaker == "anna"
    with pytest.raises(DataError, match=r"none of 1 sounds is there, not even .*gone\.mp3"):
        import_corpus("covost2", voices, "dev")


def test_covost_splits_are_merged_over_the_targets(tmp_path):
    columns = ("path", "sentence", "translation", "client_id")
    sound(tmp_path / "en" / "clips" / "a.mp3")
    tables = tmp_path / "tables"
    for target, text in (("de", "Ja."), ("zh-CN", "是。"), ("tr", "Evet.")):
        row = ("a.mp3", "Yes.", text, "anna")
        table(tables / f"covost_v2.en_{target}.train.tsv", columns, row)
        table(tables / f"covost_v2.en_{target}.dev.tsv", columns, ("b.mp3", "No.", "x", "bert"))
    found = import_corpus("covost2", tmp_path)
    assert told(found) == [("en", "Yes.", {"de": "Ja.", "zh": "是。"})]


def test_a_rejected_translation_leaves_the_sentence(voices):
    columns = ("path", "sentence", "translation", "client_id")
    table(voices / "de" / "covost_v2.de_en.test.tsv", columns, ("a.mp3", "Ja.", "REMOVE", "anna"))
    assert told(import_corpus("covost2", voices, "test")) == [("de", "Ja.", {})]


def test_covost_without_sound_says_where_it_belongs(tmp_path):
    table(tmp_path / "covost_v2.fr_en.tsv", ("path", "translation", "split"))
    with pytest.raises(DataError, match="no folder of clips in fr") as failed:
        import_corpus("covost2", tmp_path)
    assert failed.value.hint.endswith("fr/clips")


# FLEURS


@pytest.fixture
def fleurs(tmp_path):
    """Two sentences; the second has no Chinese in this split, the first is read by two."""
    for config, rows in {
        "en_us": [("1", "a.wav", "Yes."), ("1", "b.wav", "Yes."), ("2", "c.wav", "No.")],
        "cmn_hans_cn": [("1", "d.wav", "是。")],
        "it_it": [("1", "e.wav", "Sì."), ("2", "f.wav", "No.")],
    }.items():
        full = [(*row, row[2].lower(), "y e s |", "32000", "FEMALE") for row in rows]
        table(tmp_path / config / "dev.tsv", *full)
        for row in rows:
            sound(tmp_path / config / "audio" / "dev" / row[1])
    return tmp_path


def test_fleurs_is_joined_by_sentence_over_the_languages(fleurs):
    found = import_corpus("fleurs", fleurs, "validation")
    assert told(found) == [
        ("en", "Yes.", {"zh": "是。", "it": "Sì."}),
        ("en", "Yes.", {"zh": "是。", "it": "Sì."}),
        ("en", "No.", {"it": "No."}),
        ("zh", "是。", {"en": "Yes.", "it": "Sì."}),
        ("it", "Sì.", {"en": "Yes.", "zh": "是。"}),
        ("it", "No.", {"en": "No."}),
    ]
    assert all(one.duration == 2.0 for one in found.utterances)


def test_a_language_of_fleurs_keeps_the_text_of_the_others(fleurs):
    found = import_corpus("fleurs", fleurs, "dev", ["zh"])
    assert told(found) == [("zh", "是。", {"en": "Yes.", "it": "Sì."})]


def test_a_short_line_of_fleurs_is_named(fleurs):
    table(fleurs / "it_it" / "dev.tsv", ("1", "e.wav", "Sì."))
    with pytest.raises(DataError, match=r"it_it/dev\.tsv:1: 3 columns, not 7"):
        import_corpus("fleurs", fleurs, "dev")


# A plain table


def test_a_table_gives_stretches_speakers_and_translations(tmp_path):
    sound(tmp_path / "talk.wav")
    path = table(
        tmp_path / "talk.tsv",
        ("audio", "start", "end", "language", "text", "en", "pt", "speaker"),
        ("talk.wav", "1.5", "4", "de", 'Sag "ja".', 'Say "yes".', "Diz sim.", "anna"),
        ("", "", "", "fr", "Oui.", "Yes."),
    )
    spoken, written = import_corpus("tsv", path).utterances
    assert (spoken.start, spoken.end, spoken.speaker) == (1.5, 4.0, "anna")
    assert spoken.texts() == {"de": 'Sag "ja".', "en": 'Say "yes".'}
    assert written.audio is None


def test_a_table_of_one_language_needs_no_column_for_it(tmp_path):
    path = table(tmp_path / "a.tsv", ("audio", "text", "en"), ("", "Oui.", "Yes."))
    assert told(import_corpus("tsv", path, None, ["fr"])) == [("fr", "Oui.", {"en": "Yes."})]
    with pytest.raises(DataError, match="no column 'language'"):
        import_corpus("tsv", path)


def test_a_table_may_hold_all_splits(tmp_path):
    head = ("audio", "language", "text", "split")
    rows = [("", "fr", "Oui.", "train"), ("", "fr", "Non.", "dev")]
    path = table(tmp_path / "a.tsv", head, *rows)
    assert told(import_corpus("tsv", path, "dev")) == [("fr", "Non.", {})]
    assert len(import_corpus("tsv", path).utterances) == 2


def test_a_table_may_come_out_of_a_pipe(tmp_path):
    pipe = tmp_path / "table"
    os.mkfifo(pipe)
    lines = "audio\tlanguage\ttext\n\tfr\tOui.\n"
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_text, lines, "utf-8")
        assert told(import_corpus("tsv", pipe)) == [("fr", "Oui.", {})]
        assert written.result() == len(lines)


def test_a_bad_row_of_a_table_is_named(tmp_path):
    head = ("audio", "language", "text", "start")
    path = table(tmp_path / "a.tsv", head, ("a.wav", "fr", "Oui.", "soon"))
    with pytest.raises(DataError, match=r'a\.tsv:2: "start" is not a number'):
        import_corpus("tsv", path)


# All of them


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_or_file_of_another_kind_is_one_clear_line(tmp_path, layout):
    (tmp_path / "notes.txt").write_text("nothing of the kind")
    for source in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError) as failed:
            import_corpus(layout, source)
        assert "\n" not in failed.value.message
    with pytest.raises(UsageError, match="does not exist"):
        import_corpus(layout, tmp_path / "none")


def test_a_split_that_nobody_has_is_refused(tmp_path):
    path = table(tmp_path / "a.tsv", ("audio", "language", "text"), ("", "fr", "Oui."))
    with pytest.raises(DataError, match="no utterance that was asked for"):
        import_corpus("tsv", path, None, ["de", "it"])


def test_a_table_in_another_encoding_is_told(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes("audio\tlanguage\ttext\n\tfr\tété\n".encode("latin1"))
    with pytest.raises(DataError, match="not UTF-8"):
        import_corpus("tsv", path)


@pytest.mark.parametrize(
    ("cell", "text"),
    [('"Ja."', "Ja."), ('"A ""b"" c"', 'A "b" c'), ('"A" und "B"', '"A" und "B"'), ('"', '"')],
)
def test_only_the_marks_of_csv_are_taken_off(cell, text):
    assert unquoted(cell) == text


def test_backslashes_of_pandas_are_taken_off():
    assert unescaped(r"a \"b\" \\c") == r'a "b" \c'
