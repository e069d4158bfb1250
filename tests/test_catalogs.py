"""Message catalogs as a source of sentences."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.corpus.catalogs import read_catalogs
from pst_cli.corpus.recipe import Sentences
from pst_cli.corpus.sentences import read_table
from pst_cli.errors import DataError
from pst_cli.language import SENTENCES

ASK = "Who goes there? Speak, or leave this wood at once!"
SAID = {
    "de": "Wer ist da? Sprecht, oder verlasst sofort diesen Wald!",
    "fr": "Qui va là ? Parlez, ou quittez ce bois tout de suite !",
    "zh_CN": "谁在那里？说话，要不就马上离开这片树林！",
}


def write_catalog(folder, locale, messages, domain="tales"):
    """A .mo file as msgfmt writes it: a header, two tables of lengths and places, and texts."""
    every = {"": "Content-Type: text/plain; charset=UTF-8\n"} | messages
    texts = sorted((key.encode(), text.encode()) for key, text in every.items())
    start = 28 + 16 * len(texts)
    tables, body = b"", b""
    for column in range(2):
        for entry in texts:
            tables += struct.pack("<II", len(entry[column]), start + len(body))
            body += entry[column] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(texts), 28, 28 + 8 * len(texts), 0, 0)
    path = folder / locale / "LC_MESSAGES" / f"{domain}.mo"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + tables + body)


@pytest.fixture
def pattern(tmp_path):
    for locale, text in SAID.items():
        write_catalog(tmp_path, locale, {ASK: text})
    return tmp_path / "*" / "LC_MESSAGES" / "*.mo"


def test_a_message_is_read_sentence_by_sentence(pattern):
    assert list(read_catalogs(pattern)) == [
        {
            "en": "Who goes there?",
            "de": "Wer ist da?",
            "fr": "Qui va là ?",
            "zh": "谁在那里？",
        },
        {
            "en": "Speak, or leave this wood at once!",
            "de": "Sprecht, oder verlasst sofort diesen Wald!",
            "fr": "Parlez, ou quittez ce bois tout de suite !",
            "zh": "说话，要不就马上离开这片树林！",
        },
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Chi va là, in questo bosco?",  # one sentence of two
        "Chi? Va là. Parla!",  # three
        "Chi? Parlate subito con me, chiunque voi siate, o lasciate questo bosco per sempre!",
    ],
)
def test_a_translation_that_goes_its_own_way_is_left_out(pattern, tmp_path, text):
    write_catalog(tmp_path, "it", {ASK: text})
    first, _ = read_catalogs(pattern)
    assert set(first) == {"en", "de", "fr", "zh"}


@pytest.mark.parametrize(
    ("message", "translation"),
    [
        ("You have $gold| gold pieces left.", "Du hast noch $gold| Goldstücke."),
        ("Press <b>Enter</b> to go on.", "Weiter mit der Eingabetaste."),
        ("Press the key to go on.", "Weiter mit <b>Enter</b>."),
        ("Turn bonus", "Bonus der Runde"),
        ("Descent Into Darkness", "Descent Into Darkness"),
    ],
)
def test_what_nobody_says_aloud_or_nobody_translated_is_not_learnt(tmp_path, message, translation):
    write_catalog(tmp_path, "de", {message: translation, "It is I.": "Ich bin es."})
    read = list(read_catalogs(tmp_path / "*" / "LC_MESSAGES" / "*.mo"))
    assert [one for one in read if len(one) > 1] == [{"en": "It is I.", "de": "Ich bin es."}]


def test_what_a_message_is_told_apart_by_is_not_read(tmp_path):
    write_catalog(tmp_path, "de", {"female\4I am a  \n knight.": "Ich bin Ritterin."})
    (one,) = read_catalogs(tmp_path / "*" / "LC_MESSAGES" / "*.mo")
    assert one == {"en": "I am a knight.", "de": "Ich bin Ritterin."}


def test_only_the_catalogs_asked_for_are_read(pattern, tmp_path):
    write_catalog(tmp_path, "de", {"Nobody asked for this.": "Das wollte niemand."}, "menus")
    write_catalog(tmp_path, "nl", {ASK: "Wie is daar? Spreek, of ga weg uit dit bos!"})
    every = list(read_catalogs(pattern.with_name("tale*.mo")))
    assert len(every) == 2
    assert set(every[0]) == {"en", "de", "fr", "zh"}


def test_a_recipe_names_catalogs_and_chinese_is_to_be_simplified(tmp_path):
    write_catalog(tmp_path, "zh_CN", {"I learnt Chinese.": "我學過漢語。"})
    table = Sentences(table="*/LC_MESSAGES/*.mo", layout="catalogs", origin="", licence="")
    assert list(read_table(tmp_path, table)) == [{"en": "I learnt Chinese."}]


def test_sources_may_be_named_from_where_one_stands(pattern, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(read_catalogs(pattern.relative_to(tmp_path))) == list(read_catalogs(pattern))


def test_a_catalog_without_a_locale_is_of_no_language(tmp_path, monkeypatch):
    write_catalog(tmp_path, "de", {ASK: SAID["de"]})
    monkeypatch.chdir(tmp_path / "de" / "LC_MESSAGES")
    with pytest.raises(DataError, match="no message catalogs at"):
        list(read_catalogs(Path("*.mo")))


def test_catalogs_that_are_not_there_are_told_with_their_package(tmp_path):
    with pytest.raises(DataError, match="no message catalogs at") as told:
        list(read_catalogs(tmp_path / "*" / "LC_MESSAGES" / "*.mo", "tales-data"))
    assert told.value.hint == "apt install tales-data, or leave them out of the recipe"


@pytest.mark.parametrize("content", [b"", b"msgid", struct.pack("<I", 0x950412DE) + bytes(9)])
def test_a_broken_catalog_is_named(pattern, tmp_path, content):
    path = tmp_path / "it" / "LC_MESSAGES" / "tales.mo"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"tales\.mo cannot be read as a message catalog"):
        list(read_catalogs(pattern))


# Sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("He came. He saw.", ["He came.", "He saw."]),
        ('"Go." He went.', ['"Go."', "He went."]),
        ("He said: “Go!” I went.", ["He said: “Go!”", "I went."]),
        ("« Va ! » Il partit. Seul.", ["« Va ! »", "Il partit.", "Seul."]),
        ("„Geh!“ Er ging.", ["„Geh!“", "Er ging."]),
        ("他说：“走吧！”然后走了？！真的。", ["他说：“走吧！”", "然后走了？！", "真的。"]),
        ("Version 1.5 is out.", ["Version 1.5 is out."]),
    ],
)
def test_a_closing_quotation_mark_belongs_to_its_sentence(text, parts):
    assert SENTENCES.split(text) == parts


@given(st.text('ab .!?…"“”’»。！？」').map(str.strip).filter(bool))
def test_sentences_are_all_of_the_text_and_none_is_empty(text):
    parts = SENTENCES.split(text)
    assert all(parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
