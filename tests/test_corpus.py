"""A corpus by recipe: which sentences are spoken, by whom, and what is kept apart from them."""

from __future__ import annotations

import lzma
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pst_cli.audio.writing import write_flac
from pst_cli.corpus.coverage import covering
from pst_cli.corpus.recipe import (
    ENGINES,
    SHIPPED,
    Recipe,
    Sentences,
    Voice,
    find_recipe,
    read_recipe,
)
from pst_cli.corpus.sentences import Forbidden, chosen, fit, merged, read_table
from pst_cli.corpus.voices import Speaker, cast
from pst_cli.data.manifest import Utterance, read_manifest, write_manifest
from pst_cli.errors import DataError, OutputError
from pst_cli.types import LANGUAGES

SPEAKING = """#!{python}
import sys, wave
text = sys.stdin.buffer.read().decode() or sys.argv[-1]
if "unsayable" in text:
    sys.exit(1)
with wave.open(sys.argv[sys.argv.index("-w") + 1], "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
    file.writeframes(bytes(320) * len(text))
"""
COLUMNS = """en\tde\tfr\tes\tzh
The dog sleeps all day.\tDer Hund schläft den ganzen Tag. ||| Der Hund pennt.\tLe chien dort.\t\t
I know that song so well.\tIch kenne das Lied.\tJe connais cette vieille chanson.\t\t我知道。
Once there lived a king.\tEs war einmal ein König.\tIl était une fois un roi.\t\t
An unsayable name, that one.\tEin Name, den keiner sagt.\tUn nom que personne ne dit.\t\t
Two words only here.\tHier nur zwei Worte.\t\t\t
"""
PAIRS = """source_language\tsource\ttarget_language\ttarget
de\tDer Hund schläft den ganzen Tag.\tit\tIl cane dorme tutto il giorno.
fr\tQuelque chose de neuf.\tit\tQualcosa di nuovo.
en\tThe dog sleeps all day.\tzh\t狗睡了一整天。
en\tI learnt Chinese.\tzh\t我學過漢語。
"""
RECIPE = """
each = 10
[[speech]]
manifest = "real/manifest.jsonl"
origin = "Some readers"
licence = "CC0"
transcripts = false
skip = ["b.flac"]
[[sentences]]
table = "columns.tsv.xz"
layout = "columns"
origin = "Somewhere"
licence = "CC BY 2.0"
[[sentences]]
table = "pairs.tsv"
layout = "pairs"
origin = "Elsewhere"
licence = "CC BY 2.0"
[[voice]]
language = "en"
engine = "espeak-ng"
names = ["en-us", "en-gb+f2"]
licence = "GPL-3+"
speed = [0.8, 1.2]
[[voice]]
language = "de"
engine = "pico2wave"
names = ["de-DE"]
licence = "Apache-2.0"
[[apart]]
manifest = "stories/manifest.jsonl"
group = '-\\d+-'
dev = 0.5
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Tables, real speech and stories; both programs are scripts that say nothing, at length."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "columns.tsv.xz").write_bytes(lzma.compress(COLUMNS.encode()))
    (folder / "pairs.tsv").write_text(PAIRS, "utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE, "utf-8")
    real = [_spoken(folder / "real" / name, "Hello there.") for name in ("a.flac", "b.flac")]
    write_manifest(folder / "real" / "manifest.jsonl", [*real, replace(real[0], text="Bye.")])
    king = {"de": "Es war einmal ein König."}
    told = [
        _spoken(folder / "stories" / f"en-{story}-{page}.flac", f"Page {page}, {story}.", king)
        for story in range(6)
        for page in range(2)
    ]
    write_manifest(folder / "stories" / "manifest.jsonl", told)
    programs = tmp_path / "bin"
    programs.mkdir()
    for engine in ENGINES:
        (programs / engine).write_text(SPEAKING.format(python=sys.executable))
        (programs / engine).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    return folder


def _spoken(path, text, translations=None):
    write_flac(path, np.zeros(16_000, np.float32))
    return Utterance(path, "en", text, translations or {"fr": "Bonjour."}, duration=1.0)


@pytest.fixture
def build(pst, sources):
    """Run `pst data build` with the recipe beside the sources."""
    folder = sources.parent
    command = ["data", "build", folder / "recipe.toml", "--sources", sources]
    return lambda *more: pst(*command, "--output", folder / "corpus", *more)


def test_a_corpus_is_real_speech_and_sentences_that_voices_read(build, sources):
    assert build().code == 0
    corpus = sources.parent / "corpus"
    train = read_manifest(corpus / "train.jsonl")
    real, *spoken = train
    assert (real.name.endswith("a.flac"), real.text) == (True, "")
    assert {one.text for one in spoken if one.language == "en"} == {
        "The dog sleeps all day.",
        "I know that song so well.",
    }
    dog = next(one for one in spoken if one.text.startswith("The dog"))
    assert dog.translations == {
        "de": "Der Hund schläft den ganzen Tag.",
        "fr": "Le chien dort.",
        "it": "Il cane dorme tutto il giorno.",
        "zh": "狗睡了一整天。",
    }
    assert dog.duration == pytest.approx(0.01 * len(dog.text), abs=1e-3)
    assert all(soundfile.info(one.audio).duration == one.duration for one in spoken)
    told = (corpus / "SOURCES.md").read_text("utf-8")
    assert "| real speech | Some readers | CC0 |" in told
    assert "| en | 1 | 0.00 | 2 |" in told


def test_nothing_that_is_judged_by_is_learnt_and_stories_stay_whole(build, sources):
    assert build().code == 0
    corpus = sources.parent / "corpus"
    dev, test = (read_manifest(corpus / f"{name}.jsonl") for name in ("dev", "test"))
    stories = [{one.name.rsplit("-")[1] for one in part} for part in (dev, test)]
    assert all(stories)
    assert not stories[0] & stories[1]
    assert len(dev) + len(test) == 12
    for name in ("train", "texts"):
        texts = [text for one in read_manifest(corpus / f"{name}.jsonl") for text in one.texts()]
        assert texts
        assert "König" not in (corpus / f"{name}.jsonl").read_text("utf-8")


def test_a_corpus_grows_and_what_was_made_is_not_made_again(build, sources):
    assert build("--each", "1").code == 0
    corpus = sources.parent / "corpus"
    few = {one.audio: one.audio.stat().st_mtime_ns for one in _voices(corpus)}
    assert build().code == 0
    many = {one.audio: one.audio.stat().st_mtime_ns for one in _voices(corpus)}
    assert len(many) > len(few)
    assert few.items() <= many.items()
    before = (corpus / "train.jsonl").read_bytes()
    assert build("--workers", "3").code == 0
    assert (corpus / "train.jsonl").read_bytes() == before


def test_another_voice_is_heard_and_not_the_one_before_it(build, sources):
    assert build().code == 0
    corpus, recipe = sources.parent / "corpus", sources.parent / "recipe.toml"
    before = {one.audio for one in _voices(corpus)}
    recipe.write_text(RECIPE.replace("speed = [0.8, 1.2]", "speed = [0.5, 0.6]"), "utf-8")
    assert build().code == 0
    last = [one for one in _voices(corpus) if one.audio not in before]
    assert {one.language for one in last} == {"en"}
    assert all(one.audio.is_file() for one in last)


def test_what_an_earlier_corpus_says_is_not_said_again_and_real_speech_stays(build, sources):
    corpus, learnt = sources.parent / "corpus", sources.parent / "learnt.jsonl"
    dog = Utterance(sources / "real" / "a.flac", "en", "The dog sleeps all DAY", {})
    chien = Utterance(sources / "real" / "b.flac", "fr", "I know that song so well.", {})
    write_manifest(learnt, [dog, chien])
    assert build().code == 0
    before = read_manifest(corpus / "train.jsonl")
    assert build("--without", learnt).code == 0
    left = read_manifest(corpus / "train.jsonl")
    gone = [one for one in before if one not in left]
    assert [(one.language, one.text) for one in gone] == [("en", "The dog sleeps all day.")]
    assert len(left) == len(before) - 1
    lost = build("--without", sources / "none.jsonl")
    assert lost.code == 1
    assert "none.jsonl" in lost.err


def test_a_corpus_is_not_built_without_itself(build, sources):
    assert build().code == 0
    train = sources.parent / "corpus" / "train.jsonl"
    before = train.read_bytes()
    refused = build("--without", train)
    assert refused.code == 2
    assert "train.jsonl is to be read, and would be replaced" in refused.err
    assert train.read_bytes() == before


def _voices(corpus):
    return read_manifest(corpus / "train.jsonl")[1:]


def test_a_recipe_says_how_much_of_each_language_and_of_each_source_it_takes(build, sources):
    recipe, manifest = sources.parent / "recipe.toml", sources / "real" / "manifest.jsonl"
    people = [_spoken(sources / "real" / f"{n}.flac", "", {"fr": f"Mot {n}."}) for n in range(4)]
    write_manifest(manifest, people)
    recipe.write_text(RECIPE.replace("transcripts = false", "most = 3"), "utf-8")
    assert build().code == 0
    every = read_manifest(sources.parent / "corpus" / "train.jsonl")
    assert Counter(one.language for one in every) == {"en": 3 + 2, "de": 3}

    taken = RECIPE.replace("each = 10", "each = 4\nfewest = 4\nportions.de = 0.3")
    recipe.write_text(taken.replace("transcripts = false", "most = 0"), "utf-8")
    assert build().code == 0
    spoken = read_manifest(sources.parent / "corpus" / "train.jsonl")
    assert Counter(one.language for one in spoken) == {"en": 2, "de": 1}
    assert all(len(one.texts()) >= 4 for one in spoken)


def test_a_sentence_that_no_voice_can_say_is_counted(build):
    assert ", 1 refused" in build().err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('language = "de"', 'language = "nl"', 'language "nl" is not one of'),
        ('layout = "pairs"', 'layout = "rows"', 'layout "rows" is not one of'),
        ("each = 10", "every = 10", 'no such key: "every"'),
        ("each = 10", 'each = "many"', '"each" is to be a whole number'),
        ("each = 10", "fewest = 2.5", '"fewest" is to be a whole number'),
        ("each = 10", "often = -1", '"often" is to be a whole number'),
        ("each = 10", "portions = 2", "[portions] is to be a table"),
        ("each = 10", "portions.nl = 2", 'language "nl" is not one of'),
        ("each = 10", "portions.de = -1", 'the portion of "de" is to be a number, 0 or more'),
        ("transcripts = false", 'most = "few"', '"most" is to be a whole number'),
        ("speed = ", "pace = ", 'no such key in [[voice]]: "pace"'),
        ('origin = "Some readers"\n', "", "[[speech]] lacks"),
        ("[[apart]]", "[apart]", "[[apart]] is to be a table"),
        ("each = 10", "each = ", "cannot be read"),
        ('manifest = "real/', 'package = 3\nmanifest = "real/', "no such key in [[speech]]"),
        ("speed = ", "speed = 0.9 # ", '"speed" is to be two numbers above 0'),
        ("names = [", 'names = "fr-FR" # [', '"names" is to be a list of voices'),
        ("speed = ", "share = 0\nspeed = ", '"share" is to be a number above 0'),
        ('table = "pairs.tsv"', "table = 3", '"table" of [[sentences]] is to be a text'),
        ('table = "pairs.tsv"', 'table = "no.tsv"', "no.tsv cannot be read"),
        ('manifest = "real/', 'manifest = "unreal/', "cannot be read"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_told_in_a_line(build, sources, old, new, said):
    path = sources.parent / "recipe.toml"
    path.write_text(RECIPE.replace(old, new, 1), "utf-8")
    told = build()
    assert told.code == 1
    assert said in told.err
    assert "Traceback" not in told.err


def test_a_voice_that_is_not_installed_is_named_with_its_package(build, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt install espeak-ng" in build().err


def test_no_recipe_of_a_name_says_which_there_are(tmp_path):
    with pytest.raises(DataError) as told:
        find_recipe(str(tmp_path / "mine"))
    assert "base-m2m" in told.value.hint


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_whole(path):
    recipe = read_recipe(path)
    assert {voice.language for voice in recipe.voices} == LANGUAGES.keys() - {"zh"}
    assert recipe.apart
    assert all(one.licence and one.origin for one in (*recipe.speech, *recipe.sentences))


# Sentences

TEXTS = st.text("abcdefgh ", min_size=1, max_size=40).filter(str.strip)
SETS = st.lists(
    st.dictionaries(st.sampled_from(sorted(LANGUAGES)), TEXTS, min_size=1, max_size=6), max_size=30
)


@given(rows=SETS)
def test_merging_loses_no_language_of_a_set_and_says_nothing_new(rows):
    sets = merged(rows)
    said = {item for row in rows for item in row.items()}
    assert all(item in said for one in sets for item in one.items())
    for row in rows:
        assert any(set(row) <= set(one) and row.items() & one.items() for one in sets)


def _recipe(each=200, often=0, seed=1, shortest=12):
    return Recipe("mine", each, {}, 3, shortest, often, seed, (), (), (), ())


@given(sets=SETS, count=st.integers(0, 10), seed=st.integers(0, 3), often=st.integers(0, 3))
def test_choosing_more_only_adds_to_what_was_chosen(sets, count, seed, often):
    few, more = (chosen(sets, "en", _recipe(n, often, seed)) for n in (count, count + 5))
    assert more[: len(few)] == few
    assert all("en" in one and len(one) >= 3 for one in more)


def test_sets_with_rare_languages_are_likelier():
    common = [{"en": f"Sentence number {n}.", "de": "Satz.", "fr": "Mot."} for n in range(900)]
    rare = [{**one, "en": one["en"] + " Oh.", "it": "Parola."} for one in common[:100]]
    counts = Counter("it" in one for one in chosen([*common, *rare], "en", _recipe()))
    assert counts[True] > 2 * 200 * 100 / 1000


def test_sentences_of_words_seldom_heard_come_first():
    often = [{"en": f"He said {n} of it.", "de": f"Satz {n}.", "fr": "Mot."} for n in range(900)]
    dogs = [{"en": f"The {n} dogs.", "de": f"Hunde {n}.", "fr": "Chiens."} for n in range(20)]
    found = chosen([*often, *dogs], "en", _recipe(12, often=4, shortest=3))
    counts = Counter("dogs" in one["en"] for one in found)
    assert counts == {True: 4, False: 8}  # four of each, then as they were drawn


@given(sets=SETS, often=st.integers(1, 5))
def test_covering_orders_sets_and_loses_none(sets, often):
    spoken = [one for one in sets if "en" in one]
    covered = covering(spoken, "en", often)
    assert sorted(map(repr, covered)) == sorted(map(repr, spoken))


def test_a_word_is_to_be_heard_in_each_language_that_it_is_put_into():
    german = [{"en": f"dog {n}", "de": "Hund"} for n in range(6)]
    french = [{"en": f"dog {n}", "fr": "chien"} for n in range(6)]
    first, second, *_ = covering([*german, *french], "en", 1)
    assert {*first, *second} == {"en", "de", "fr"}


def test_a_word_of_hardly_any_sentence_is_not_looked_for():
    names = [{"en": f"Nozibele {n}", "de": "Nozibele"} for n in range(4)]
    dogs = [{"en": "dog", "de": "Hund"} for _ in range(5)]
    assert covering([*names, *dogs], "en", 1)[0] == dogs[0]


@pytest.mark.parametrize(
    ("language", "text", "right"),
    [
        ("zh", "我学过汉语。", True),
        ("zh", "我學過漢語。", False),
        ("de", "größer", True),
        ("de", "?!", False),
    ],
)
def test_chinese_is_to_be_simplified_and_a_text_to_have_words(language, text, right):
    assert fit(language, text) is right


def test_long_parts_of_forbidden_texts_are_forbidden_and_short_ones_are_not():
    story = Utterance(None, "en", "The king slept. Nobody knew why he was so very tired.", {})
    forbidden = Forbidden([story])
    assert forbidden.holds(["nobody knew why he was so VERY tired"])
    assert not forbidden.holds(["The king slept."])
    tale = Forbidden([Utterance(None, "zh", "从前有一位国王，谁也不知道他为什么这样疲倦。", {})])
    assert tale.holds(["谁也不知道他为什么"])
    assert not tale.holds(["一位国王"])
    assert forbidden.holds(["the king slept nobody knew why he was so very tired"])


def test_a_table_without_its_columns_is_told(tmp_path):
    (tmp_path / "pairs.tsv").write_text("a\tb\n1\t2\n")
    table = Sentences(table="pairs.tsv", layout="pairs", origin="", licence="")
    with pytest.raises(DataError, match="table of pairs"):
        list(read_table(tmp_path, table))


def test_a_table_that_was_cut_off_is_told_and_a_row_that_was_is_left_out(tmp_path):
    table = Sentences(table="pairs.tsv.xz", layout="pairs", origin="", licence="")
    whole = PAIRS + "en\tNothing follows this.\n"
    (tmp_path / table.table).write_bytes(lzma.compress(whole.encode()))
    *rows, last = read_table(tmp_path, table)
    assert (len(rows), list(last)) == (4, ["en"])
    (tmp_path / table.table).write_bytes(lzma.compress(whole.encode())[:-30])
    with pytest.raises(DataError, match="cannot be read as a table of pairs"):
        list(read_table(tmp_path, table))


# Voices

CAST = (
    Voice(language="en", engine="espeak-ng", names=("en-us", "en-gb"), licence="", share=3.0),
    Voice(language="en", engine="pico2wave", names=("en-GB",), licence="", speed=(0.5, 0.9)),
)


@given(text=st.text(min_size=1), seed=st.integers(0, 9))
def test_a_sentence_has_one_reader(text, seed):
    speaker = cast(CAST, "en", text, seed)
    assert speaker == cast(CAST, "en", text, seed)
    voice = next(one for one in CAST if one.engine == speaker.engine)
    assert speaker.name in voice.names
    assert voice.speed[0] <= speaker.speed <= voice.speed[1]


def test_voices_share_the_work_as_they_were_told_to():
    engines = Counter(cast(CAST, "en", str(number), 0).engine for number in range(2000))
    assert engines["espeak-ng"] / 2000 == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize(
    ("speaker", "wanted"),
    [
        (Speaker("espeak-ng", "fr+f2", 1.2, 0.5), ["-v", "fr+f2", "-s", "210", "-p", "25"]),
        (
            Speaker("pico2wave", "fr-FR", 0.8, 1.1),
            ['<speed level="80"><pitch level="110">A &lt; B</pitch></speed>'],
        ),
    ],
)
def test_speed_and_pitch_are_asked_for_in_the_programs_own_words(monkeypatch, speaker, wanted):
    asked = []
    monkeypatch.setattr(
        "subprocess.run", lambda command, **rest: asked.append((command, rest["input"]))
    )
    monkeypatch.setattr("pst_cli.corpus.voices.read_span", lambda path: path)
    speaker.say("A < B")
    [(command, spoken)] = asked
    assert " ".join(wanted) in " ".join(command)
    assert spoken == (b"A < B" if speaker.engine == "espeak-ng" else b"")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_flac(tmp_path / "taken" / "a.flac", np.zeros(10, np.float32))
    assert [one.name for one in tmp_path.iterdir()] == ["taken"]
