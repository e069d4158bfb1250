"""`pst data label` and `pst data translate`: texts of a manifest that are a model's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pst_cli import console
from pst_cli.commands import options
from pst_cli.commands.evaluate import BatchSize
from pst_cli.commands.records import CommonOptions, DecodingOptions, command
from pst_cli.errors import UsageError

LABEL_HELP = """Let a model say what a manifest has no text for; what people wrote stays as it is.

Every line of MANIFEST is written again, with what the model says of its sound in the languages
asked for. Left out is what looks wrong (it is not decoded again), is in another language, or is
beyond what the model learnt. A text of a model's is listed under `labelled`. The same command
again goes on where it was stopped.
"""
TRANSLATE_HELP = """Let a text translator put what a manifest says into another language.

Every line of MANIFEST is written again; what it has text for in --from, said or translated, is put
into --to by a Marian model such as Helsinki-NLP/opus-mt-en-fr. What people wrote stays, or with
--replace gives way: a model's words are plainer, and sooner learnt. Left out is what repeats
itself, is out of proportion or in another language. A text of a model's is listed under
`labelled`. The same command again goes on where it was stopped.
"""
KEPT = ".hypotheses.jsonl"  # what stands in the output's place of ".jsonl", where none is named
TEACHER = "small"  # for the languages that it knows: better than what learns from it

Unlabelled = Annotated[Path, typer.Argument(help="Speech: JSONL, an utterance a line.")]
Texts = Annotated[Path, typer.Argument(help="Speech or texts: JSONL, an utterance a line.")]
Labels = Annotated[
    str,
    typer.Option(
        "--to",
        help=f"Languages to add text in, comma-separated: {options.CODES}; that of the speech "
        "stands for a transcript, where there is none.",
    ),
]
Labelled = Annotated[
    Path, typer.Option("--output", "-o", help="Write the manifest with labels to this file.")
]
Kept = Annotated[
    Path | None,
    typer.Option(
        "--hypotheses",
        help="Keep what is said in this file, to go on from; beside the output if absent.",
    ),
]
Translator = Annotated[
    str, typer.Option("--translator", help="A Marian model: a hub id, or a directory of one.")
]
Source = Annotated[str, typer.Option("--from", help="Language of the texts that it reads.")]
Target = Annotated[str, typer.Option("--to", help="Language that it writes.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Put its words in the place of people's translations.")
]
Together = Annotated[int, typer.Option("--batch-size", min=1, help="Texts translated together.")]


@dataclass(frozen=True, kw_only=True)
class _Labels(CommonOptions):
    """What both take."""

    output: Labelled
    hypotheses: Kept = None

    @property
    def kept(self) -> Path:
        """The file that what was said is kept in."""
        return self.hypotheses or self.output.with_suffix(KEPT)

    def check_files(self, manifest: Path) -> None:
        """UsageError where a file would be two things at once."""
        output, shown = self.output.resolve(), console.display(self.output)
        if output.is_dir():
            hint = "name a file in it, such as labelled.jsonl"
            raise UsageError(f"--output {shown} is a folder", hint=hint)
        if output in (manifest.resolve(), self.kept.resolve()):
            hint = "name another: what people wrote is to be found as it was"
            raise UsageError(f"--output {shown} is needed as it is", hint=hint)


@dataclass(frozen=True, kw_only=True)
class LabelOptions(_Labels, DecodingOptions):
    """What `pst data label` takes."""

    manifest: Unlabelled
    to: Labels
    model: options.Model = TEACHER
    batch_size: BatchSize = 8

    @property
    def targets(self) -> tuple[str, ...]:
        """The languages to add text in."""
        return options.languages(self.to, "--to") or ()

    def check(self) -> None:
        options.languages(self.to, "--to")
        super().check()
        self.check_files(self.manifest)


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(_Labels):
    """What `pst data translate` takes."""

    manifest: Texts
    translator: Translator
    source: Source
    to: Target
    replace: Replace = False
    batch_size: Together = 64
    beams: options.Beams = 1
    device: options.Device = "auto"
    dtype: options.Dtype = "auto"

    def check(self) -> None:
        super().check()
        options.language(self.source, "--from")
        options.language(self.to, "--to")
        if self.source == self.to:
            hint = "name another language with --to"
            raise UsageError(f"--from {self.source} --to {self.to}: nothing to do", hint=hint)
        self.check_files(self.manifest)


def register(data: typer.Typer) -> None:
    """Add both to `pst data`."""
    data.command("label", help=LABEL_HELP)(command(LabelOptions, _label))
    data.command("translate", help=TRANSLATE_HELP)(command(TranslateOptions, _translate))


def _label(asked: LabelOptions) -> int:
    from pst_cli.commands.labelling import execute  # loads torch

    return execute(asked)


def _translate(asked: TranslateOptions) -> int:
    from pst_cli.commands.interpreting import execute  # loads torch

    return execute(asked)
