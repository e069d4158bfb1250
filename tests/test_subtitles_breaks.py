"""Line breaks: where a reader of each language would pause, never inside what belongs together."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.subtitles.breaks import GRAMMARS
from pst_cli.subtitles.chinese import words
from pst_cli.subtitles.layout import layout
from pst_cli.subtitles.stops import stops
from pst_cli.subtitles.styles import NETFLIX, Style, style_for
from pst_cli.subtitles.text import Stop, clean, pieces, width
from pst_cli.types import LANGUAGES

ANYTHING = st.text(max_size=120)


def lines(text: str, language: str) -> list[str]:
    laid = layout(text, style_for("netflix", language), language)
    return [line for block in laid for line in block]


def stop(text: str, language: str) -> Stop:
    """What ends where `text` has its bar."""
    before, after = text.split("|")
    cut = words if language == "zh" else tuple
    left = pieces(before.strip(), 42, cut)
    right = pieces(after.strip(), 42, cut)
    return stops([*left, *right], language)[len(left) - 1]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "he gave it to the | old man"),
        ("en", "they waited for | rain"),
        ("en", "so she | went home"),
        ("en", "we do not | know"),
        ("en", "it doesn't | matter"),
        ("en", "you should | go"),
        ("en", "about 50 | kilometres away"),
        ("en", "we asked Dr. | Miller"),
        ("en", "it was Nina | Simone"),
        ("en", "she told | me"),
        ("de", "sie ging in | den Garten"),
        ("de", "das war eine | gute Idee"),
        ("de", "weil ich | es weiß"),
        ("de", "er hat es nicht | gesehen"),
        ("de", "am 3. | Oktober"),
        ("de", "etwa 400 | Kilometer"),
        ("de", "da kam Frau | Schmidt"),
        ("fr", "il parle de la | mer"),
        ("fr", "puis elle | est partie"),
        ("fr", "il ne | voulait rien"),
        ("fr", "cela ne va | pas bien"),
        ("fr", "parce qu'il | pleut"),
        ("fr", "il se | lève"),
        ("fr", "avec M. | Dupont"),
        ("es", "vive en una | casa blanca"),
        ("es", "nunca se | acordaba de nada"),
        ("es", "él no | quiere"),
        ("es", "con el señor | Ramírez"),
        ("it", "abita vicino alla | stazione"),
        ("it", "non si | ricorda"),
        ("it", "il signor | Bianchi"),
        ("it", "sotto 5 | metri d'acqua"),
        ("zh", "他没有 | 回来"),
        ("zh", "昨天在 | 北京"),
        ("zh", "那棵树 | 的叶子"),
        ("zh", "走了4 | 公里的路"),
        ("zh", "这是一个 | 问题"),
    ],
)
def test_words_that_belong_together_are_not_parted(language: str, text: str) -> None:
    assert stop(text, language) is Stop.TIGHT


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "he left the house | and closed the door", Stop.JOINT),
        ("en", "that is the man | who knew her", Stop.JOINT),
        ("en", "they sat for hours | in the kitchen", Stop.PHRASE),
        ("en", "as far as we know, | nothing happened", Stop.CLAUSE),
        ("en", "That is all. | He left", Stop.SENTENCE),
        ("de", "ich weiß | dass er kommt", Stop.JOINT),
        ("de", "das Buch liegt | auf dem Tisch", Stop.PHRASE),
        ("fr", "il pense souvent | qu'elle viendra", Stop.JOINT),
        ("fr", "les enfants jouent | dans la rue", Stop.PHRASE),
        ("es", "mi madre canta | cuando cocina", Stop.JOINT),
        ("es", "los niños juegan | en la calle", Stop.PHRASE),
        ("it", "mia madre canta | quando cucina", Stop.JOINT),
        ("it", "i ragazzi giocano | nella strada", Stop.PHRASE),
        ("zh", "他很累 | 但是他没有停", Stop.JOINT),
        ("zh", "他很累， | 他没有停", Stop.CLAUSE),
        ("zh", "他很累 | 他没有停", Stop.WORD),
    ],
)
def test_a_line_may_well_begin_with_what_begins_a_phrase(
    language: str, text: str, expected: Stop
) -> None:
    assert stop(text, language) is expected


@pytest.mark.parametrize(
    ("language", "text"), [("en", "we met Dr. | Miller"), ("en", "John F. | Kennedy")]
)
def test_a_dot_that_ends_no_sentence_is_not_taken_for_one(language: str, text: str) -> None:
    assert stop(text, language) is Stop.TIGHT


def test_a_small_word_before_a_comma_leans_back() -> None:
    assert stop("nobody came | in, so we left", "en") is Stop.LOOSE
    assert stop("das er gekauft | hat, war alt", "de") is Stop.LOOSE


def test_german_nouns_in_a_row_are_no_name_for_sure() -> None:
    assert stop("dann sah Anna | Schnee", "de") is Stop.LOOSE
    assert stop("then we met Anna | Snow", "en") is Stop.TIGHT


def test_a_space_between_chinese_phrases_is_as_good_as_a_comma() -> None:
    found = pieces("他没有停 我们走了", 32, words)
    at = next(i for i, piece in enumerate(found) if piece.spaced)
    assert stops(found, "zh")[at - 1] is Stop.CLAUSE


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "en",
            "I was going to the store to buy some milk and then I saw him",
            ["I was going to the store", "to buy some milk and then I saw him"],
        ),
        (
            "de",
            "Sie hat mir erzählt dass der alte Mann aus dem dritten Stock gestorben ist",
            ["Sie hat mir erzählt dass der alte Mann", "aus dem dritten Stock gestorben ist"],
        ),
        (
            "fr",
            "Je ne savais pas que vous aviez habité dans cette maison",
            ["Je ne savais pas", "que vous aviez habité dans cette maison"],
        ),
        (
            "es",
            "No sabía que habías vivido tantos años en la misma casa",
            ["No sabía que habías vivido", "tantos años en la misma casa"],
        ),
        (
            "it",
            "Non sapevo che avevi vissuto per tanti anni nella stessa casa",
            ["Non sapevo che avevi vissuto", "per tanti anni nella stessa casa"],
        ),
        (
            "zh",
            "我从来没有想过这样的事情会在今天发生在我们身上",
            ["我从来没有想过这样的事情", "会在今天发生在我们身上"],
        ),
    ],
)
def test_two_lines_are_balanced_or_heavier_below(
    language: str, text: str, expected: list[str]
) -> None:
    assert lines(text, language) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_fits_stays_on_one_line(language: str) -> None:
    text = "在这里。" if language == "zh" else "Ecco, and so: das ist la fin."
    assert lines(text, language) == [text]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_its_words_in_lower_case_and_its_elisions_marked(language: str) -> None:
    grammar = GRAMMARS[language]
    known = grammar.joints | grammar.prepositions | grammar.determiners | grammar.leaning
    assert len(known) > 50
    assert all(word == word.lower().strip() for word in known)
    assert grammar.elides == any(word.endswith("'") for word in known)


def test_chinese_words_numbers_and_latin_words_stay_whole() -> None:
    text = "我们公司的人工智能GPT-4模型在2024年处理了3.5万份语音识别报告所以大家都很高兴"
    for columns in range(14, 34, 2):
        laid = layout(text, Style(name="own", columns=columns), "zh")
        found = [line for block in laid for line in block]
        assert "".join(found) == text
        for whole in ("我们", "公司", "人工智能", "GPT-4", "2024", "3.5", "语音", "报告", "高兴"):
            assert any(whole in line for line in found), (columns, whole)


def test_a_chinese_word_wider_than_a_line_is_cut_rather_than_too_wide() -> None:
    assert all(width(piece.text) <= 4 for piece in pieces("哥伦比亚大学", 4, words))


@given(ANYTHING)
def test_chinese_words_hold_every_character_whatever_the_text(text: str) -> None:
    found = pieces(clean(text), 42, words)
    joined = "".join(" " * piece.spaced + piece.text for piece in found)
    assert joined == clean(text)


@given(ANYTHING, st.sampled_from([*LANGUAGES, ""]))
def test_any_text_is_graded_in_any_language(text: str, language: str) -> None:
    found = pieces(clean(text), 42)
    assert len(stops(found, language)) == len(found)


def test_other_languages_never_load_the_chinese_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)  # an import would fail
    assert layout("The cat sat on the mat.", NETFLIX, "en") == [("The cat sat on the mat.",)]
