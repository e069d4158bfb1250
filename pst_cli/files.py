"""Files in, events out: what there is to do in each of them, in batches that files share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pst_cli.audio import open_audio
from pst_cli.errors import PstError
from pst_cli.models.encoded import Encoded
from pst_cli.models.prompts import Ability, prompt, untrained
from pst_cli.pipeline import Failed, Finished, Job, Note, Opened, Worker
from pst_cli.translator import VOTERS
from pst_cli.types import LANGUAGES, Window
from pst_cli.vad import speech_windows, whole_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.audio import AudioStream
    from pst_cli.models.host import Host
    from pst_cli.pipeline import Event, Waiting
    from pst_cli.translator import Translator

SMALL = 768  # d_model of Whisper small, which half does what it was never taught (README's table)
FOREIGN = 0.5  # below this share of the vote the six languages together are doubtful


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, and the languages that it is wanted in."""

    file: Path
    targets: tuple[str, ...]


def translate(files: Iterable[Wanted], translator: Translator) -> Iterator[Event]:
    """Translate files one after another, their windows in shared batches."""
    worker = Worker(translator)
    return worker.run(_work(files, worker))


def _work(files: Iterable[Wanted], worker: Worker) -> Iterator[Waiting]:
    """What there is to do and to tell, in order; a file that cannot be read is a Failed."""
    for wanted in files:
        try:
            with open_audio(wanted.file, worker.translator.options.track) as audio:
                yield Opened(wanted.file, audio.seconds)
                if audio.choice:
                    yield Note(audio.choice, wanted.file)
                yield from _file_work(wanted, audio, worker)
        except PstError as error:
            yield Failed(wanted.file, error)


def _file_work(wanted: Wanted, audio: AudioStream, worker: Worker) -> Iterator[Waiting]:
    options, host = worker.translator.options, worker.translator.host
    windows = (speech_windows if options.vad else whole_windows)(audio.blocks())
    source, heard, encoded = options.source, list[Window](), list[Encoded]()
    if source is None and (options.transcript or host.ability is Ability.STOCK):
        heard = list(islice(windows, VOTERS))
        encoded = yield from worker.encoded(heard)
    if heard:
        source, share = yield from worker.voted(heard, encoded)
        if share < FOREIGN:
            yield Note(f"the speech may be none of {', '.join(LANGUAGES)}", wanted.file)
    own = (source,) if options.transcript and source else ()
    targets = tuple(dict.fromkeys(own + wanted.targets))
    if source in wanted.targets and own:
        yield Note(f"the speech is in {source} already: its text stands alone", wanted.file)
    yield from _warned(source, targets, host)
    asked = {to: tuple(prompt(host.tokens, host.ability, to, source)) for to in targets}

    def rows(window: Window, states: Encoded | None = None) -> tuple[Job, ...]:
        return tuple(Job(wanted.file, window, asked[to], states, source, to) for to in targets)

    for window, states in zip(heard, encoded, strict=True):
        yield rows(window, states)
    for window in windows:
        yield rows(window)
    yield Finished(wanted.file, audio.position, source, tuple(audio.notes))


def _warned(source: str | None, targets: Sequence[str], host: Host) -> Iterator[Event]:
    strange = [target for target in targets if untrained(host.ability, source, target)]
    if source and strange:
        better = ": --model small does it better" if host.shape.d_model < SMALL else ""
        yield Note(
            f"this host was not trained to translate {source} into {', '.join(strange)}{better}"
        )
