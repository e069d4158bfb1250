"""The run behind `bench`: check everything, load host, drafters and peers, race, tell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pst_cli import console
from pst_cli.audio import find_audio
from pst_cli.bench.clips import read_clips
from pst_cli.bench.peers import Field, load_peers
from pst_cli.bench.peers.peer import Setting
from pst_cli.bench.plot import plot, require_plotting
from pst_cli.bench.race import Told, silent
from pst_cli.bench.references import read_references
from pst_cli.bench.run import Plan, bench
from pst_cli.commands.bench import BenchOptions
from pst_cli.commands.download import fetcher
from pst_cli.commands.loading import choose_context, tell_emulated
from pst_cli.commands.tables import tables
from pst_cli.drafters import network_kind, own_drafters
from pst_cli.errors import EXIT_OK, OutputError, UsageError
from pst_cli.export import ExportOptions, export
from pst_cli.methods import Drafting, Method, load_draft_model, load_kvspn, load_own
from pst_cli.models.device import choose_place
from pst_cli.models.host import Host
from pst_cli.models.prompts import check
from pst_cli.outputs import check_result
from pst_cli.store import layout
from pst_cli.weights import Checkpoint, locate

INDENT = 2  # of the JSON document


@dataclass(frozen=True, slots=True)
class Weights:
    """Where the checkpoints lie."""

    host: Checkpoint
    draft: Checkpoint | None


def execute(request: BenchOptions) -> int:
    """Do what was asked; the exit code. Raises PstError where it cannot be done."""
    request = request.settled([(request.source, request.to)])
    files = find_audio(request.inputs)
    references = _references(request, files)
    if request.plot:
        require_plotting(request.plot)
        check_result(request.plot, *files, flag="--plot")
    _check_drafters(request)
    place = choose_place(request.device, request.dtype)
    tell_emulated(place, partial(_say, request))
    weights = _weights(request)
    check(weights.host.ability, request.model, request.to, request.source)
    clips = read_clips(files, vad=request.vad)
    host = weights.host.load(*place)
    methods = _methods(request, weights, host)
    with _field(request, weights, host) as field, _progress(request.quiet) as told:
        report = bench(host, methods, clips, _plan(request, host, field, references), told)
    document = json.dumps(report.document(), indent=INDENT, ensure_ascii=False) + "\n"
    console.write(document if request.json else tables(report))
    if request.plot:
        plot(report, request.plot)
    return EXIT_OK


def _plan(request: BenchOptions, host: Host, field: Field, references: Sequence[str]) -> Plan:
    return Plan(
        model=request.model,
        target=request.to,
        source=request.source,
        rounds=request.rounds,
        batch_size=request.batch_size,
        context=choose_context(request.context, host, partial(_say, request)),
        top_k=request.top_k,
        beams=request.beams,
        oracle=request.oracle,
        references=references,
        peers=field.peers,
        missing=field.missing,
    )


def _say(request: BenchOptions, text: str) -> None:
    if not request.quiet:
        console.stderr().print(f"pst: {text}")


def _references(request: BenchOptions, files: Sequence[Path]) -> list[str]:
    if request.refs is None:
        return []
    return read_references(request.refs, files, request.to)


def _check_drafters(request: BenchOptions) -> None:
    for folder in request.drafters or ():
        if network_kind(folder) is None:
            hint = "name a directory whose config.json says what drafter it is"
            raise UsageError(f"--drafter {console.display(folder)}: no drafter there", hint=hint)


def _weights(request: BenchOptions) -> Weights:
    drafting = request.draft_model is not None and "speculative" in request.methods
    wanted = drafting or (request.peers and request.draft_model)
    if wanted and (kind := network_kind(Path(str(request.draft_model)))):
        hint = f"--drafter {shlex.quote(str(request.draft_model))}"
        raise UsageError(f"--draft-model {request.draft_model}: that is a {kind}", hint=hint)
    fetch = fetcher(offline=request.offline, quiet=request.quiet)
    host = locate(request.model, fetch)
    draft = locate(str(request.draft_model), fetch) if wanted else None
    return Weights(host, draft)


def _methods(request: BenchOptions, weights: Weights, host: Host) -> dict[str, Method]:
    """The methods to run against plain, under the names that tell them apart."""
    drafting = Drafting(request.draft_length, request.draft_confidence, request.top_k)
    own = own_drafters(host, weights.host.path)
    student = own.pop("speculative", None)
    found: dict[str, Method] = {}
    if "speculative" in request.methods:
        if weights.draft:
            found["speculative"] = load_draft_model(weights.draft, host, drafting)
        elif student:
            found["speculative"] = load_own(student, host, weights.host, drafting)
    folders = [*(request.drafters or ()), *own.values()]
    loaded = [(folder, load_kvspn(folder, host, drafting)) for folder in folders]
    names = [method.name for _, method in loaded]
    _check_named(request, [*found, *names])
    for folder, method in loaded:
        if method.name in request.methods:
            alike = [other for other, one in loaded if one.name == method.name]
            found[method.name + _apart(folder, alike)] = method
    return found


def _apart(folder: Path, alike: Sequence[Path]) -> str:
    """What tells a drafter from others of its kind: its directory, by as much as it takes."""
    if len(alike) == 1:
        return ""
    alone = [other.name for other in alike].count(folder.name) == 1
    return f":{folder.name if folder.name and alone else folder}"


def _check_named(request: BenchOptions, names: Sequence[str]) -> None:
    """Refuse a method that was asked for by name and that nothing drafts for."""
    missing = [name for name in request.methods if name not in ("plain", *names)]
    if request.method_names is None or not missing:
        return
    if missing[0] == "speculative":
        hint = "add --draft-model tiny, or whichever smaller model is to draft"
        raise UsageError("--methods speculative needs a model that drafts", hint=hint)
    hint = "add --drafter DIR, a directory with its config.json and weights"
    raise UsageError(
        f"--methods {missing[0]}: no such drafter was given, and none is beside the model",
        hint=hint,
    )


@contextmanager
def _field(request: BenchOptions, weights: Weights, host: Host) -> Iterator[Field]:
    """The peers that were asked for; adapters, which they cannot open, are merged for them."""
    if not request.peers:
        yield Field()
        return
    given = Path(request.model)
    own = given.is_dir() and layout.tell(given) is layout.Layout.CTRANSLATE2
    with TemporaryDirectory(prefix="pst-bench-", ignore_cleanup_errors=True) as folder:
        setting = Setting(
            checkpoint=_whole(weights.host, Path(folder, "host")),
            draft=_whole(weights.draft, Path(folder, "draft")) if weights.draft else None,
            ct2=request.ct2 or (given if own else None),
            device=str(host.device),
            dtype=host.dtype,
            tokens=host.tokens,
        )
        yield load_peers(setting)


def _whole(checkpoint: Checkpoint, place: Path) -> Path:
    """The directory of a model's whole weights: its own, or `place`, where they are merged."""
    if not checkpoint.adapter:
        return checkpoint.host
    try:
        export(checkpoint, place, ExportOptions())
    except OutputError as error:
        error.hint = "set TMPDIR to a folder with more room, or leave --peers out"
        raise
    return place


@contextmanager
def _progress(quiet: bool) -> Iterator[Told]:
    """A bar on stderr where somebody sits at a terminal."""
    screen = console.stderr()
    if quiet or not screen.is_terminal:
        yield silent
        return
    from rich import progress as bars

    with bars.Progress(
        bars.TextColumn("measuring"),
        bars.BarColumn(),
        bars.TextColumn("{task.percentage:>3.0f}%"),
        bars.TimeRemainingColumn(),
        console=screen,
        transient=True,
    ) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, whole: shown.update(task, completed=done, total=whole)
