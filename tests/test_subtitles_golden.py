"""What a page of speech looks like as subtitles, in each language: files that a person can read.

`tests/golden/LANGUAGE.tsv` says what was said and when (ms); `LANGUAGE.STYLE.srt` is what comes of
it. After a change that is meant, write them anew with
`python -c "from tests.test_subtitles_golden import write; write()"` and read what changed.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.formats import Meta, render
from pst_cli.subtitles.styles import style_for
from pst_cli.types import LANGUAGES, Segment

GOLDEN = Path(__file__).parent / "golden"
PAGES = [*((language, "netflix") for language in LANGUAGES), ("en", "bbc")]


def laid_out(language: str, style: str) -> str:
    with (GOLDEN / f"{language}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    said = [Segment(int(r["start"]) / 1000, int(r["end"]) / 1000, r["text"]) for r in rows]
    meta = Meta("page", language, language, "none")
    return render("srt", said, cues(said, language, style_for(style, language)), meta)


def write() -> None:
    for language, style in PAGES:
        text = laid_out(language, style)
        (GOLDEN / f"{language}.{style}.srt").write_text(text, encoding="utf-8", newline="\n")


@pytest.mark.parametrize(("language", "style"), PAGES)
def test_a_page_of_speech_reads_as_it_did(language: str, style: str) -> None:
    golden = (GOLDEN / f"{language}.{style}.srt").read_text(encoding="utf-8")
    assert laid_out(language, style) == golden
