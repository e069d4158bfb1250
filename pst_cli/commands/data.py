"""`pst data`: manifests for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands import labels, options
from pst_cli.commands.evaluate import BatchSize
from pst_cli.commands.records import DecodingOptions, command
from pst_cli.errors import UsageError

CHECK_HELP = """Look through manifests for what would spoil training, and count what they hold.

Several manifests are taken for splits of one corpus: what two of them share is told. Exit code 1
means that there are errors; warnings are only worth a look.
"""
IMPORT_HELP = """Write the manifest of a corpus that lies on this disk; its sound stays where it is.

Layouts: covost2 (a Common Voice folder with the tables of CoVoST 2), fleurs (the folder above
en_us, de_de, ...), commonvoice (a release, or one language's folder in it), tsv (a table whose
header names audio, start, end, language, text, speaker, and a language code for translations).
"""
BUILD_HELP = """Make a training corpus by a recipe: real speech, and sentences read by open voices.

RECIPE is base-m2m, or a TOML file like it. What is there already is kept, so a run that was broken
off goes on, and a larger --each adds to what was made. Writes train.jsonl, texts.jsonl, dev.jsonl
and test.jsonl, sound under audio/, and SOURCES.md with licences.
"""
HEAR_HELP = """Tell how well a model understands each speaker of a manifest, a person or a voice.

A sample of each is transcribed as it is, without a second try, and held against its text: what a
model cannot transcribe it does not learn to translate. Hear a little of a corpus before you make
hours of it: pst data build RECIPE --each 50.
"""
LAYOUTS = ("covost2", "fleurs", "commonvoice", "tsv")

Manifests = Annotated[
    list[Path],
    typer.Argument(help="JSONL manifests: the splits of one corpus."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document with all that was found.")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Open no sound file; only look whether it is there.")
]
LayoutName = Annotated[
    str,
    typer.Argument(help=f"How the corpus lies on disk: {', '.join(LAYOUTS)}."),
]
Source = Annotated[Path, typer.Argument(help="Its folder; for tsv, the table.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Write the manifest to this file (.jsonl).")
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split", help="Part of the corpus: dev, test, ...; if absent train, or all of a tsv."
    ),
]
Spoken = Annotated[
    list[str] | None,
    typer.Option("--language", help="Only what is spoken in this language; repeatable."),
]
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="base-m2m, or a TOML file.")]
Sources = Annotated[
    Path, typer.Option("--sources", help="Folder that the recipe's manifests and tables lie in.")
]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder of the corpus.")]
Each = Annotated[
    int | None,
    typer.Option(
        "--each", min=0, help="Sentences for each language; the recipe's number if absent."
    ),
]
Without = Annotated[
    list[Path] | None,
    typer.Option(
        "--without",
        help="Manifest of what was learnt: voices do not say it again; repeatable.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Voices at a time; one for each core if absent."),
]
Transcribed = Annotated[
    Path, typer.Argument(help="Speech and its transcripts: JSONL, an utterance a line.")
]
Sample = Annotated[
    int, typer.Option("--sample", min=1, help="Utterances of each speaker, at most.")
]


@dataclass(frozen=True, kw_only=True)
class HearOptions(DecodingOptions):
    """What `pst data hear` takes."""

    manifest: Transcribed
    model: options.Model = options.TRANSCRIBER
    batch_size: BatchSize = 8
    sample: Sample = 16
    json: Json = False


def register(app: typer.Typer) -> None:
    """Add the command and its own commands to `app`."""
    data = typer.Typer(no_args_is_help=True, help="Check manifests, and make them of corpora.")
    data.command("check", help=CHECK_HELP)(check)
    data.command("import", help=IMPORT_HELP)(import_)
    data.command("build", help=BUILD_HELP)(build)
    data.command("hear", help=HEAR_HELP)(command(HearOptions, _hear))
    labels.register(data)
    app.add_typer(data, name="data")


def check(
    manifests: Manifests,
    json_document: Json = False,
    quick: Quick = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Look through manifests; `CHECK_HELP` is what its users read."""
    del debug  # read where errors are told
    given = [path.resolve() for path in manifests]
    twice = next((path for path in manifests if given.count(path.resolve()) > 1), None)
    if twice:
        hint = "name each split of the corpus once"
        raise UsageError(f"{console.display(twice)} is named twice", hint=hint)
    from pst_cli.commands.checking import execute

    execute(manifests, json_document=json_document, quick=quick, quiet=quiet)


def import_(
    layout: LayoutName,
    source: Source,
    output: Output,
    split: Split = None,
    languages: Spoken = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make a manifest of a corpus; `IMPORT_HELP` is what its users read."""
    del debug  # read where errors are told
    options.known(layout, LAYOUTS, "LAYOUT")
    spoken = [options.language(code, "--language") for code in languages or ()]
    from pst_cli.data.importers import import_corpus
    from pst_cli.data.manifest import write_manifest
    from pst_cli.outputs import check_result

    check_result(output, source)
    found = import_corpus(layout, source, split, spoken)
    write_manifest(output, found.utterances)
    if quiet:
        return
    name, count = console.display(output), console.counted(len(found.utterances), "utterance")
    missing = f"; {found.missing:,} left out, as their sound is not there" if found.missing else ""
    console.stderr().print(f"pst: {count} written to {name}{missing}")


def build(
    recipe: RecipeName,
    sources: Sources,
    output: Folder,
    each: Each = None,
    without: Without = None,
    workers: Workers = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make a corpus; `BUILD_HELP` is what its users read."""
    del debug  # read where errors are told
    from pst_cli.commands.building import execute

    execute(recipe, sources, output, each=each, without=without or (), workers=workers, quiet=quiet)


def _hear(asked: HearOptions) -> int:
    from pst_cli.commands.listening import execute  # loads torch

    return execute(asked)
