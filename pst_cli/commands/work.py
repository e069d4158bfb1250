"""The run behind `translate` and `subtitle`: check everything, load the host, work, account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pst_cli import console
from pst_cli.audio import find_audio
from pst_cli.batch import Look, Skipped, document, split_done, wanted, write_results
from pst_cli.commands.download import fetcher
from pst_cli.commands.loading import choose_context, load
from pst_cli.commands.translate import TranslateOptions
from pst_cli.commands.view import View
from pst_cli.errors import EXIT_FAILED, EXIT_OK, UsageError
from pst_cli.files import Wanted, translate
from pst_cli.models.device import choose_place
from pst_cli.models.prompts import check
from pst_cli.outputs import (
    FOLDER,
    UNKNOWN,
    Job,
    Version,
    check_result,
    check_writable,
    plan,
    versions,
)
from pst_cli.pipeline import Event, Finished, Heard
from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.formats import Meta, Writing, stream
from pst_cli.subtitles.styles import style_for
from pst_cli.translator import Options, Translator
from pst_cli.types import Segment
from pst_cli.weights import locate

STDIN = "-"


def execute(request: TranslateOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where nothing could be started."""
    request = request.settled((request.source, target) for target in request.targets)
    files = find_audio(request.inputs)
    jobs = _jobs(request, files)
    todo, done = split_done(jobs) if jobs and request.skip_existing else (jobs, [])
    count = len(files if todo is None else wanted(todo))
    with View(count, quiet=request.quiet, bar=bool(todo)) as view:
        for source in done:
            view.show(Skipped(source))
        if todo is None:
            _to_stdout(request, files[0], view)
        elif todo:
            _to_files(request, todo, view)
    view.account()
    return EXIT_FAILED if view.failed else EXIT_OK


def _jobs(request: TranslateOptions, files: Sequence[Path]) -> list[Job] | None:
    """Where results go, or None for stdout."""
    formats = request.formats or (request.default,)
    one = len(files) == 1 and len(formats) == 1
    if request.output is not None:
        if not one or len(request.targets) > 1 or request.output_dir is not None:
            hint = "use --output-dir DIR for several results"
            raise UsageError("--output takes one input, one language and one format", hint=hint)
        return None if request.output == STDIN else _named(request, files[0], Path(request.output))
    to_stdout = not (request.formats or request.to_files or request.output_dir)
    if one and request.output_dir is None and (to_stdout or str(files[0]) == STDIN):
        if len(request.targets) == 1:
            return None
        if to_stdout:
            hint = f"add --format {formats[0]}, or --output-dir DIR, and each gets a file"
            raise UsageError("stdout takes one language, --to names several", hint=hint)
    return _planned(request, files, formats)


def _named(request: TranslateOptions, file: Path, path: Path) -> list[Job]:
    """The one result goes to `path`, whichever language is heard."""
    check_result(path, file)
    (name,) = request.formats or (request.default,)
    may_be = versions(request.targets, request.source, bilingual=request.bilingual)
    return [Job(file, version, {name: path}) for version in may_be]


def _planned(
    request: TranslateOptions, files: Sequence[Path], formats: tuple[str, ...]
) -> list[Job]:
    roots = [Path(name) for name in request.inputs if Path(name).is_dir()]
    named = [Path("stdin") if str(file) == STDIN else file for file in files]
    may_be = versions(request.targets, request.source, bilingual=request.bilingual)
    jobs = plan(named, may_be, formats, request.output_dir, roots)
    for folder in {path.parent for job in jobs for path in job.outputs.values()}:
        check_writable(folder, FOLDER)
    real = dict(zip(named, files, strict=True))
    return [replace(job, source=real[job.source]) for job in jobs]


def _to_files(request: TranslateOptions, jobs: Sequence[Job], view: View) -> None:
    events = translate(wanted(jobs), _translator(request, view))
    for event in write_results(events, jobs, _look(request)):
        view.show(event)


def _to_stdout(request: TranslateOptions, file: Path, view: View) -> None:
    """Text as it is decoded, where a document can be begun before all is known."""
    (name,), (target,) = request.formats or (request.default,), request.targets
    heard = _Hearing(translate([Wanted(file, (target,))], _translator(request, view)), view)
    look = _look(request)
    if request.bilingual or name == "json":  # JSON's head names the language heard
        said = heard.whole()
        if not view.failed:
            version = (
                Version(target, heard.source or UNKNOWN) if request.bilingual else Version(target)
            )
            meta = Meta(str(file), heard.source, target, request.model)
            console.write(document(name, said, version, meta, look))
        return
    meta, segments = Meta(str(file), request.source, target, request.model), iter(heard)
    shown = cues(segments, target, style_for(look.style, target))
    for chunk in stream(name, segments, shown, meta, look.writing):
        console.write(chunk)


def _look(request: TranslateOptions) -> Look:
    return Look(request.model, request.style, Writing(request.bom, request.crlf))


class _Hearing:
    """The segments of one file as events bring them; every event is shown on the way."""

    def __init__(self, events: Iterable[Event], view: View) -> None:
        self.source: str | None = None
        self._events, self._view = events, view

    def __iter__(self) -> Iterator[Segment]:
        return (segment for event in self._heard() for segment in event.segments)

    def whole(self) -> dict[str, list[Segment]]:
        """All of them, by language."""
        found: dict[str, list[Segment]] = defaultdict(list)
        for event in self._heard():
            found[event.target] += event.segments
        return found

    def _heard(self) -> Iterator[Heard]:
        for event in self._events:
            self._view.show(event)
            if isinstance(event, Heard):
                yield event
            if isinstance(event, Finished):
                self.source = event.source


def _translator(request: TranslateOptions, view: View) -> Translator:
    """Find, check and load the host, and what drafts for it."""
    place = choose_place(request.device, request.dtype)
    checkpoint = locate(request.model, fetcher(offline=request.offline, quiet=request.quiet))
    for target in request.targets:
        check(checkpoint.ability, request.model, target, request.source)
    host, method = load(request, checkpoint, place, view.say, f", to {', '.join(request.targets)}")
    options = Options(
        source=request.source,
        transcript=request.bilingual,
        batch_size=request.batch_size,
        vad=request.vad,
        track=request.track,
        align=request.aligned,
        context=choose_context(request.context, host, view.say),
        beams=request.beams,
        top_k=request.top_k,
    )
    return Translator(host, options, method)
