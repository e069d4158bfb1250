"""Which language a text is in: by script, by py3langid, or too short to tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.language import FEWEST, LONG, is_in, share_in, signature, strays
from pst_cli.types import LANGUAGES

SAID = {
    "en": "The children played behind the old house.",
    "zh": "孩子们在老房子后面玩耍。",
    "de": "Die Kinder spielten hinter dem alten Haus.",
    "es": "Los niños jugaban detrás de la casa vieja.",
    "fr": "Les enfants jouaient derrière la vieille maison.",
    "it": "I bambini giocavano dietro la vecchia casa.",
}


@pytest.mark.parametrize("asked", LANGUAGES)
@pytest.mark.parametrize("spoken", LANGUAGES)
def test_a_sentence_is_in_its_own_language_alone(spoken, asked):
    assert is_in(SAID[spoken], asked) is (spoken == asked)


@pytest.mark.parametrize("asked", LANGUAGES)
@pytest.mark.parametrize(
    "text",
    ["ご視聴ありがとうございました", "Спасибо за просмотр", "감사합니다", "これは日本語です"],
)
def test_a_language_of_none_of_them_is_told_by_its_script(text, asked):
    assert is_in(text, asked) is False


def test_chinese_needs_one_character_and_bears_names_in_latin_letters():
    assert is_in("好", "zh")
    assert is_in("Christopher说他喜欢音乐", "zh")
    assert is_in("Christopher said 好", "en")
    assert is_in("Yes.", "zh") is False
    assert is_in("好", "fr") is False


def test_few_latin_letters_are_not_judged():
    word = "Unbelievable"
    assert len(word) == FEWEST
    assert is_in(word[:-1], "en") is None
    assert is_in(word, "en") is not None


@given(st.text(st.characters(exclude_categories=("L",))), st.sampled_from(list(LANGUAGES)))
def test_a_text_without_letters_is_never_judged(text, language):
    assert is_in(text, language) is None


@given(st.text(), st.sampled_from(list(LANGUAGES)))
def test_no_text_is_in_two_languages(text, language):
    if is_in(text, language):
        assert not any(is_in(text, other) for other in set(LANGUAGES) - {language})


def test_what_cannot_be_told_is_left_out_of_the_share():
    assert share_in([SAID["fr"], SAID["de"], "Oui.", "..."], "fr") == 0.5
    assert share_in(["Oui.", ""], "fr") is None
    assert share_in([], "fr") is None


def test_the_signature_names_what_tells():
    assert "py3langid-" in signature()
    assert f"least:{FEWEST}" in signature()


@pytest.mark.parametrize("asked", LANGUAGES)
@pytest.mark.parametrize("left", LANGUAGES)
def test_a_sentence_that_was_left_in_another_language_strays(left, asked):
    assert strays(SAID[asked] + " " + SAID[left], asked) is (left != asked)
    assert strays(SAID[left] + " " + SAID[asked], asked) is (left != asked)


@pytest.mark.parametrize(
    "text",
    ["", "...", "Simba! Hakuna matata!", "New York, New York!", "OK. 你好，Christopher！", "1984"],
)
@pytest.mark.parametrize("asked", LANGUAGES)
def test_names_and_shouts_stray_nowhere(text, asked):
    assert not strays(text, asked)


@given(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz .!", max_size=LONG - 1),
    st.sampled_from([*LANGUAGES]),
)
def test_a_short_text_strays_nowhere(text, asked):
    assert not strays(text, asked)
