"""Voices: programs that read a sentence aloud, each as somebody else."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from pst_cli.audio.spans import read_span
from pst_cli.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.corpus.recipe import Voice
    from pst_cli.types import Samples

TIMEOUT = 60  # s; a sentence takes a fraction of one
RATE = 175  # words a minute; espeak-ng's own
HALF = 50  # espeak-ng's own pitch, of 0 to 99
PACKAGES = {  # of Debian
    "espeak-ng": "espeak-ng",
    "pico2wave": "libttspico-utils",
}


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice at one speed and pitch."""

    engine: str
    name: str
    speed: float  # of the voice's own
    pitch: float  # of the voice's own

    @property
    def id(self) -> str:
        """8 hex digits, others for any other voice, speed or pitch."""
        known = json.dumps([self.engine, self.name, self.speed, self.pitch])
        return hashlib.blake2b(known.encode(), digest_size=4).hexdigest()

    @property
    def known_as(self) -> str:
        """What a manifest calls the speaker: speed and pitch make nobody else."""
        return f"{self.engine} {self.name}"

    def say(self, text: str) -> Samples:
        """`text` aloud; DataError where the program fails."""
        with tempfile.TemporaryDirectory() as folder:
            sound = Path(folder, "said.wav")
            command, spoken = _COMMANDS[self.engine](self, text, sound)
            try:
                subprocess.run(
                    command, input=spoken, capture_output=True, check=True, timeout=TIMEOUT
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise DataError(f"{self.known_as} cannot say {text!r}: {error}") from error
            return read_span(sound)


def _espeak(speaker: Speaker, text: str, sound: Path) -> tuple[list[str], bytes]:
    speed, pitch = round(RATE * speaker.speed), round(HALF * speaker.pitch)
    command = ["espeak-ng", "-b", "1", "-v", speaker.name, "-s", str(speed), "-p", str(pitch)]
    return [*command, "-w", str(sound), "--stdin"], text.encode()


def _pico(speaker: Speaker, text: str, sound: Path) -> tuple[list[str], bytes]:
    speed, pitch = round(100 * speaker.speed), round(100 * speaker.pitch)
    said = f'<speed level="{speed}"><pitch level="{pitch}">{escape(text)}</pitch></speed>'
    return ["pico2wave", "-l", speaker.name, "-w", str(sound), said], b""


_COMMANDS = {"espeak-ng": _espeak, "pico2wave": _pico}


def cast(voices: Sequence[Voice], language: str, text: str, seed: int) -> Speaker:
    """Who reads `text`: the same in every run."""
    rng = random.Random(f"{seed} {language} {text}")
    fitting = [voice for voice in voices if voice.language == language]
    voice = rng.choices(fitting, [one.share for one in fitting])[0]
    speed, pitch = rng.uniform(*voice.speed), rng.uniform(*voice.pitch)
    return Speaker(voice.engine, rng.choice(voice.names), speed, pitch)


def check_engines(voices: Sequence[Voice]) -> None:
    """DataError where a program is not installed."""
    for engine in sorted({voice.engine for voice in voices}):
        if not shutil.which(engine):
            hint = f"apt install {PACKAGES[engine]}, or leave its voices out of the recipe"
            raise DataError(f"{engine} is not installed", hint=hint)
