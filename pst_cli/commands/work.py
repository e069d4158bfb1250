"""The run behind `translate` and `subtitle`: check everything, load the host, work, account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pst_cli import console
from pst_cli.audio import find_audio
from pst_cli.batch import Skipped, split_done, write_results
from pst_cli.commands.download import fetcher
from pst_cli.commands.loading import DecodingRequest, choose_context, load
from pst_cli.commands.view import View
from pst_cli.errors import EXIT_FAILED, EXIT_OK, UsageError
from pst_cli.models.device import choose_place
from pst_cli.models.prompts import check
from pst_cli.outputs import Job, check_writable, plan
from pst_cli.pipeline import Event, Finished, Heard, Options, Translator, translate
from pst_cli.subtitles.cues import cues
from pst_cli.subtitles.formats import Meta, stream
from pst_cli.types import Segment
from pst_cli.weights import locate

STDIN = "-"


@dataclass(frozen=True, kw_only=True)
class Request(DecodingRequest):
    """What the command line asked for, its words already checked one by one."""

    inputs: Sequence[str]
    target: str
    source: str | None
    formats: tuple[str, ...]  # empty: the subcommand's own, `default`
    default: str
    to_files: bool  # whether the default goes to a file rather than to stdout
    output: str | None
    output_dir: Path | None
    vad: bool
    skip_existing: bool


def execute(request: Request) -> int:
    """Do what was asked; the exit code. Raises PstError where nothing could be started."""
    request.check()
    files = find_audio(request.inputs)
    jobs = _jobs(request, files)
    todo, done = split_done(jobs) if jobs and request.skip_existing else (jobs, [])
    with View(len(todo or files), quiet=request.quiet, bar=bool(todo)) as view:
        for job in done:
            view.show(Skipped(job.source))
        if todo is None:
            _to_stdout(request, files[0], view)
        elif todo:
            _to_files(request, todo, view)
    view.account()
    return EXIT_FAILED if view.failed else EXIT_OK


def _jobs(request: Request, files: Sequence[Path]) -> list[Job] | None:
    """Where results go: a job a file, or None for stdout."""
    formats = request.formats or (request.default,)
    one = len(files) == 1 and len(formats) == 1
    if request.output is not None:
        if not one or request.output_dir is not None:
            hint = "use --output-dir DIR for several results"
            raise UsageError("--output takes one input and one format", hint=hint)
        if request.output == STDIN:
            return None
        path = Path(request.output)
        check_writable(path.parent)
        return [Job(files[0], {formats[0]: path})]
    to_stdout = not (request.formats or request.to_files or request.output_dir)
    if one and request.output_dir is None and (to_stdout or str(files[0]) == STDIN):
        return None
    return _planned(request, files, formats)


def _planned(request: Request, files: Sequence[Path], formats: tuple[str, ...]) -> list[Job]:
    roots = [Path(name) for name in request.inputs if Path(name).is_dir()]
    named = [Path("stdin") if str(file) == STDIN else file for file in files]
    jobs = plan(named, request.target, formats, request.output_dir, roots)
    for folder in {path.parent for job in jobs for path in job.outputs.values()}:
        check_writable(folder)
    real = dict(zip(named, files, strict=True))
    return [Job(real[job.source], job.outputs) for job in jobs]


def _to_files(request: Request, jobs: Sequence[Job], view: View) -> None:
    translator = _translator(request, view)
    events = translate([job.source for job in jobs], translator)
    for event in write_results(events, jobs, request.target, request.model):
        view.show(event)


def _to_stdout(request: Request, file: Path, view: View) -> None:
    """Text as it is decoded; JSON, whose head names the language heard, once all is known."""
    name = (request.formats or (request.default,))[0]
    heard = _Hearing(translate([file], _translator(request, view)), view)
    segments = list(heard) if name == "json" else iter(heard)
    if name == "json" and view.failed:
        return
    meta = Meta(str(file), heard.source, request.target, request.model)
    for chunk in stream(name, segments, cues(segments, request.target), meta):
        console.write(chunk)


class _Hearing:
    """The segments of one file as events bring them; every event is shown on the way."""

    def __init__(self, events: Iterable[Event], view: View) -> None:
        self.source: str | None = None
        self._events, self._view = events, view

    def __iter__(self) -> Iterator[Segment]:
        for event in self._events:
            self._view.show(event)
            if isinstance(event, Heard):
                yield from event.segments
            if isinstance(event, Finished):
                self.source = event.source


def _translator(request: Request, view: View) -> Translator:
    """Find, check and load the host, and what drafts for it."""
    place = choose_place(request.device, request.dtype)
    checkpoint = locate(request.model, fetcher(offline=request.offline))
    check(checkpoint.ability, request.model, request.target, request.source)
    host, method = load(request, checkpoint, place, view.say, f", to {request.target}")
    options = Options(
        target=request.target,
        source=request.source,
        batch_size=request.batch_size,
        vad=request.vad,
        context=choose_context(request.context, host, view.say),
        beams=request.beams,
        top_k=request.top_k,
    )
    return Translator(host, options, method)
