"""Names of things as a source of sentences: Tux Paint's stamps, and Unicode's names of emoji."""

import pytest

from pst_cli.corpus.names import read_annotations, read_stamps
from pst_cli.corpus.recipe import Sentences
from pst_cli.corpus.sentences import read_table
from pst_cli.errors import DataError

DOG = """A dog.
af.utf8='n Hond.
de.utf8=Ein Hund.
zh_CN.utf8=一只狗。
zh_TW.utf8=一隻狗。
"""
LDML = """<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE ldml SYSTEM "../../common/dtd/ldml.dtd">
<ldml><annotations>
<annotation cp="◆">{keywords}</annotation>
<annotation cp="◆" type="tts">diamond</annotation>
<annotation type="tts">of nothing</annotation>
<annotation cp="🐕">{keywords}</annotation>
<annotation cp="🐕" type="tts">{dog}</annotation>
</annotations></ldml>
"""


@pytest.fixture
def stamps(tmp_path):
    path = tmp_path / "stamps" / "animals" / "dog.txt"
    path.parent.mkdir(parents=True)
    path.write_text(DOG, "utf-8")
    return tmp_path / "stamps" / "**" / "*.txt"


@pytest.fixture
def annotations(tmp_path):
    for language, dog in (("en", "dog"), ("it", "cane"), ("zh", "狗"), ("nl", "hond")):
        path = tmp_path / f"{language}.xml"
        path.write_text(LDML.format(dog=dog, keywords="this | that"), "utf-8")
    return tmp_path / "*.xml"


def test_a_stamp_is_what_its_picture_shows_in_our_languages(stamps):
    assert list(read_stamps(stamps)) == [{"en": "A dog.", "de": "Ein Hund.", "zh": "一只狗。"}]


def test_an_empty_stamp_says_nothing(stamps):
    (stamps.parent.parent / "nothing.txt").write_text("", "utf-8")
    assert {} in list(read_stamps(stamps))


def test_pictures_are_called_by_their_names_and_shapes_are_not(annotations):
    assert list(read_annotations(annotations)) == [{"en": "Dog.", "it": "Cane.", "zh": "狗。"}]


@pytest.mark.parametrize("layout", ["stamps", "annotations"])
def test_where_there_are_none_the_package_is_named(tmp_path, layout):
    table = Sentences(
        table="nowhere/*", layout=layout, origin="", licence="", package="tuxpaint-stamps-default"
    )
    with pytest.raises(DataError, match="nowhere") as told:
        list(read_table(tmp_path, table))
    assert "apt install tuxpaint-stamps-default, or leave them out" in told.value.hint


def test_what_cannot_be_read_is_named(stamps, annotations, tmp_path):
    (tmp_path / "it.xml").write_text("<ldml>", "utf-8")
    with pytest.raises(DataError, match=r"it\.xml cannot be read as LDML"):
        list(read_annotations(annotations))
    (stamps.parent.parent / "broken.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"broken\.txt cannot be read as a stamp"):
        list(read_stamps(stamps))
