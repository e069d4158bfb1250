"""What a frozen host hears and says of clips, worked out once and kept on disk.

Encoder states lie in a file for each clip, what was said in one JSONL file; both are added to as
the work goes on, so that it can be broken off at any time. The folder is named after the host and
the context, and serves any number of runs.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from pst_cli.console import display
from pst_cli.decoding.acceptance import Greedy
from pst_cli.decoding.loop import Strategy, decode
from pst_cli.decoding.protocols import Plain
from pst_cli.decoding.rules import TokenRules
from pst_cli.errors import AudioError, OutputError, TrainingError, UsageError
from pst_cli.models.adapter import DIGITS
from pst_cli.models.forced import Heard
from pst_cli.models.prompts import prompt
from pst_cli.models.tensors import load_tensors, save_tensors
from pst_cli.training.ears import context_seconds
from pst_cli.types import TIMESTAMP_SECONDS, WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.models.host import Host
    from pst_cli.training.clips import Clip
    from pst_cli.training.course import Part
    from pst_cli.training.ears import Context
    from pst_cli.training.examples import Example, Spoken

SAID, STATES = "said-{}.jsonl", "states"  # one file of words for each process
LONGEST = 256  # tokens, prompt included; speech of 30 s hardly comes to 200, loops go on for ever
HALF = 2  # bytes; states are kept in float16


@dataclass(frozen=True, slots=True)
class Said:
    """What the host said of a clip."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]  # with times, without the end
    ended: bool  # by itself, within the limit


class Own:
    """The store of one host's hearing and saying."""

    def __init__(self, folder: Path, fingerprint: str, context: Context, numbers: str) -> None:
        """`numbers` are those that the host computes in, for they decide what it says."""
        self.folder = folder / f"{fingerprint[:DIGITS]}-{context}-{numbers}"
        self.context = context
        self.said = dict(self._read())

    def _read(self) -> Iterator[tuple[tuple[str, str], Said]]:
        for path in sorted(self.folder.glob(SAID.format("*"))):
            for line in path.read_text("utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:  # torn where the work was broken off
                    continue
                said = Said(tuple(record["prompt"]), tuple(record["tokens"]), record["ended"])
                yield (record["clip"], record["target"]), said

    def path(self, clip: Clip) -> Path:
        """Where the states of `clip` are kept."""
        return self.folder / STATES / clip.key[:2] / f"{clip.key}.safetensors"

    def states(self, clip: Clip) -> Tensor:
        """(frames, d_model) in float16; TrainingError where they are gone or damaged."""
        try:
            return load_tensors(self.path(clip))["states"]
        except (OSError, RuntimeError) as error:
            self.path(clip).unlink(missing_ok=True)
            hint = "repeat the command: what is missing is worked out again"
            name = display(self.path(clip))
            raise TrainingError(f"{name} cannot be read", hint=hint) from error

    def missing(
        self, said: Sequence[Spoken], heard: Sequence[Spoken] = ()
    ) -> list[tuple[Clip, list[str]]]:
        """Clips to work out, each with the targets that it is not `said` in yet.

        Those whose states alone are not here, of `said` or of others to be `heard`, have none.
        """
        found: dict[str, tuple[Clip, list[str]]] = {}
        for one in said:
            if (one.clip.key, one.target) not in self.said:
                found.setdefault(one.clip.key, (one.clip, []))[1].append(one.target)
        for clip in (one.clip for one in chain(said, heard)):
            if clip.key not in found and not self.path(clip).is_file():
                found[clip.key] = clip, []
        return sorted(found.values(), key=lambda item: (self.seconds(item[0]), item[0].seconds))

    def check_room(self, clips: Sequence[Clip], width: int) -> None:
        """OutputError where there is no place for the states of `clips`."""
        frames = sum(self.seconds(clip) / TIMESTAMP_SECONDS for clip in clips)
        wanted = int(frames * width * HALF)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        free = shutil.disk_usage(self.folder).free
        if wanted > free:
            raise OutputError(
                f"{display(self.folder)}: {wanted / 1e9:.1f} GB of encoder states do not fit in "
                f"{free / 1e9:.1f} GB",
                hint="choose another disk with --cache, or a shorter --context",
            )

    def seconds(self, clip: Clip) -> float:
        """How long a stretch the host hears of `clip`, in whole seconds; always the same."""
        wanted = context_seconds(clip.seconds, self.context, random.Random(clip.key))
        return min(math.ceil(wanted), WINDOW_SECONDS)

    def add(
        self, host: Host, wanted: Sequence[tuple[Clip, list[str]]], batch: int, part: Part
    ) -> Iterator[int]:
        """Work out this process's part of what is `missing`, `batch` clips at a time.

        Yields how many are done. Raises OutputError where they do not fit on the disk.
        """
        self.check_room([clip for clip, _ in wanted], host.shape.d_model)
        wanted = wanted[part.rank :: part.world]
        rules = TokenRules(host.tokens, host.shape.vocab_size, device=host.device)
        strategy = Strategy(Plain(), Greedy(), rules, LONGEST)
        done = 0
        for group in self._groups(wanted, batch):
            clips = [clip for clip, _ in group]
            encoded = self._hear(host, clips)
            rows = [(row, target) for row, (_, asked) in enumerate(group) for target in asked]
            for some in (rows[i : i + batch] for i in range(0, len(rows), batch)):
                self._append(self._say(host, strategy, clips, encoded, some), part)
            done += len(group)
            yield done

    def _groups(
        self, wanted: Sequence[tuple[Clip, list[str]]], batch: int
    ) -> Iterator[list[tuple[Clip, list[str]]]]:
        """Clips that are heard for as long as one another, so that none hangs on its company."""
        for _, alike in groupby(wanted, key=lambda item: self.seconds(item[0])):
            while group := list(islice(alike, batch)):
                yield group

    def _append(self, lines: str, part: Part) -> None:
        path = self.folder / SAID.format(part.rank)
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            raise _unwritable(path, error) from error

    def _hear(self, host: Host, clips: Sequence[Clip]) -> Tensor:
        """States of `clips`, (clips, frames, d_model), kept on disk one by one."""
        try:
            sounds = [clip.sound() for clip in clips]
        except (AudioError, UsageError) as error:
            raise TrainingError(
                error.message, hint="pst data check finds all such lines"
            ) from error
        encoded = host.encode(host.log_mel(sounds, self.seconds(clips[0])))
        for clip, states in zip(clips, encoded, strict=True):
            path = self.path(clip)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                save_tensors({"states": states.to(torch.float16)}, partial)
                partial.replace(path)
            except (OSError, RuntimeError) as error:
                partial.unlink(missing_ok=True)
                raise _unwritable(path, error) from error
        return encoded

    def _say(
        self,
        host: Host,
        strategy: Strategy,
        clips: Sequence[Clip],
        encoded: Tensor,
        rows: Sequence[tuple[int, str]],
    ) -> str:
        """Lines of JSON of what `host` says of each row: a clip's number, and a target."""
        index = torch.tensor([row for row, _ in rows], device=encoded.device)
        asked = [
            prompt(host.tokens, host.ability, target, clips[row].language) for row, target in rows
        ]
        lines = []
        decoded = decode(host.open(encoded[index]), asked, host.tokens, strategy)
        for (row, target), one in zip(rows, decoded, strict=True):
            said = Said(tuple(one.prompt), tuple(one.tokens), one.ended)
            key = clips[row].key
            self.said[key, target] = said
            lines.append(_line(key, target, said))
        return "".join(lines)


@dataclass(frozen=True, slots=True)
class Stored:
    """Ears for what was encoded before; rows are as long as they were heard."""

    own: Own

    def context(self, examples: Sequence[Example], seed: str) -> float:
        del examples, seed
        return 0.0

    def listen(self, examples: Sequence[Example], seconds: float, seeds: Sequence[str]) -> Heard:
        del seconds, seeds
        states = [self.own.states(one.clip) for one in examples if one.clip]
        lengths = torch.tensor([len(one) for one in states])
        longest = int(lengths.max())
        mask = None
        if int(lengths.min()) < longest:
            mask = torch.arange(longest) < lengths[:, None]
        return Heard(pad_sequence(states, batch_first=True), mask)


def _unwritable(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{display(path)} cannot be written: {getattr(error, 'strerror', None) or error}",
        hint="free some space and repeat the command: it goes on where it was",
    )


def _line(key: str, target: str, said: Said) -> str:
    """JSON on a line of its own, even after one that was torn where the work was broken off."""
    record = {
        "clip": key,
        "target": target,
        "prompt": said.prompt,
        "tokens": said.tokens,
        "ended": said.ended,
    }
    return "\n" + json.dumps(record)
