"""Courses and hosts so small that learning takes a second; also run as a program of its own.

    python tests/lessons.py FOLDER STEPS [SECONDS]    (or under torchrun)

`SECONDS` is slept before each step, so that the run can be killed on its way.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from pst_cli.data.manifest import Utterance
from pst_cli.models.forced import ForcedHost, TextEncoder
from pst_cli.training.clips import single
from pst_cli.training.course import Course
from pst_cli.training.examples import Direction, Example, Written, renderings
from pst_cli.training.fit import Fit, Settings
from pst_cli.training.learner import Optimization
from pst_cli.training.lessons.host import HostLesson
from pst_cli.training.plan import Balanced
from pst_cli.types import SpecialTokens

END, START, FRENCH, ENGLISH, TRANSCRIBE, TIMES = 83, 84, 85, 86, 87, 90  # words lie below
VOCABULARY = 100
TOKENS = SpecialTokens(START, END, TRANSCRIBE, 88, 88, 89, TIMES, {"fr": FRENCH, "en": ENGLISH})


def tiny_host(layers: int = 2, seed: int = 0) -> ForcedHost:
    """A random Whisper of width 16 that knows a hundred tokens."""
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=VOCABULARY,
        d_model=16,
        encoder_layers=1,
        decoder_layers=layers,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=1500,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return ForcedHost(WhisperForConditionalGeneration(config))


def utterances(count: int = 8) -> list[Utterance]:
    """English speech with French beside it; there is no such sound."""
    return [
        Utterance(Path(f"/{number}.wav"), "en", "said", {"fr": "dit"}, duration=0.1 * (number + 1))
        for number in range(count)
    ]


class MadeUpEars:
    """Noise that is the same whenever a clip is heard."""

    def context(self, examples, seed):
        return max(example.seconds for example in examples)

    def listen(self, examples, seconds, seeds):
        sounds = []
        for example in examples:
            generator = torch.Generator().manual_seed(int(example.clip.key[:8], 16))
            sounds.append(torch.randn(80, round(seconds * 50) * 2, generator=generator))
        return torch.stack(sounds)


def spell(spoken, rng) -> Example:
    """Five words that hang on the clip and the target; six of ten clips can be read too."""
    own = random.Random(spoken.clip.key + spoken.target)
    said = [own.randrange(10, 80) for _ in range(5)]
    language = FRENCH if spoken.target == "fr" else ENGLISH
    source = tuple(said[:3]) if own.random() < 0.6 else ()
    tokens = (START, language, TRANSCRIBE, *said, END)
    return Example(tokens, 3, source, spoken.direction, spoken.clip)


def spell_text(written) -> Example:
    tokens = (START, FRENCH, TRANSCRIBE, *map(int, written.translation.split()), END)
    return Example(tokens, 3, tuple(map(int, written.text.split())), written.direction)


def course(count: int = 8, size: int = 4, micro: int = 4, texts: int = 2) -> Course:
    """`count` clips in two directions, `size` a batch, with `texts` that are only read."""
    written = [Written(f"{n} 12 13", f"{n + 1} 22", Direction("en", "fr")) for n in range(20, 26)]
    return Course(
        source=Balanced(renderings(map(single, utterances(count)))),
        spell=spell,
        ears=MadeUpEars(),
        size=size,
        micro=micro,
        timestamp_begin=TIMES,
        pad=END,
        texts=Balanced(written) if texts else None,
        spell_text=spell_text,
        texts_each=texts,
    )


def settings(steps: int, **changed) -> Settings:
    how = Optimization(learning_rate=3e-3, warm_up=2)
    return Settings(
        **{"steps": steps, "how": how, "checkpoint_every": 4, "device": "cpu", **changed}
    )


def host_lesson() -> HostLesson:
    host = tiny_host()
    return HostLesson(host, TextEncoder(host, 1), TIMES)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    fit = Fit(host_lesson(), course(micro=2), settings(steps, record_every=1), folder)

    def slowly() -> bool:
        time.sleep(pause)
        return False

    fit.run(slowly)
    if fit.learner.main:
        torch.save(fit.learner.weights(), folder / "weights.pt")
    os._exit(0)  # gloo's threads are slow to leave
