"""The sound that all contenders are given: files cut once into windows, windows into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.audio import open_audio
from pst_cli.errors import AudioError
from pst_cli.models.prompts import Ability, needs_source, prompt
from pst_cli.translator import VOTERS, Options, Translator, elected
from pst_cli.vad import speech_windows, whole_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.models.context import Context
    from pst_cli.models.host import Host
    from pst_cli.types import Window


@dataclass(frozen=True, slots=True)
class Clip:
    """One file in memory."""

    path: Path
    seconds: float
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a window: pst's own prompt, and the same in the words of the others.

    `language` and `task` are None for hosts that know English alone.
    """

    window: Window
    prompt: tuple[int, ...]
    language: str | None
    task: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows that are decoded together."""

    index: int
    tasks: tuple[Task, ...]
    context: Context = "full"  # what pst pads its windows to; peers always fill 30 s


def read_clips(files: Iterable[Path], *, vad: bool) -> list[Clip]:
    """Read and cut `files`; AudioError where one cannot be read or all are silent."""
    clips = []
    for path in files:
        with open_audio(path) as audio:
            windows = tuple((speech_windows if vad else whole_windows)(audio.blocks()))
            clips.append(Clip(path, audio.position, windows))
    if not any(clip.windows for clip in clips):
        raise AudioError("no speech in these files", hint="hear all of them with --no-vad")
    return clips


def batches(
    clips: Sequence[Clip],
    host: Host,
    target: str,
    source: str | None,
    size: int,
    context: Context = "full",
) -> list[Batch]:
    """All windows of all clips, in order, `size` to a batch."""
    translator = Translator(host, Options(source, context=context))
    tasks = [task for clip in clips for task in _tasks(clip, target, translator)]
    return [
        Batch(index, tuple(tasks[first : first + size]), context)
        for index, first in enumerate(range(0, len(tasks), size))
    ]


def _tasks(clip: Clip, target: str, translator: Translator) -> Iterator[Task]:
    host, source = translator.host, translator.options.source
    if source is None and clip.windows and needs_source(host.ability, target):
        source = _vote(clip, translator)
    asked = tuple(prompt(host.tokens, host.ability, target, source))
    language, task = _in_words(host.ability, target, source)
    for window in clip.windows:
        yield Task(window, asked, language, task)


def _vote(clip: Clip, translator: Translator) -> str:
    heard = clip.windows[:VOTERS]
    encoded = [row for window in heard for row in translator.encode([window])]
    return elected(translator.language_scores(encoded), heard)[0]


def _in_words(ability: Ability, target: str, source: str | None) -> tuple[str | None, str | None]:
    """The language and task that make other programs build the same prompt."""
    if ability is Ability.ENGLISH_ONLY:
        return None, None
    if needs_source(ability, target) and source not in (None, target):
        return source, "translate"
    return target, "transcribe"
