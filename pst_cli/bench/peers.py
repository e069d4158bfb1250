"""Peers: other programs on the same windows and weights, timed as pst's own lanes are.

Each is asked for greedy decoding with timestamps of one window (or batch) at a time, and its
encoder's seconds are told apart by a timer around it, so that its ms per token is decoder time
too. What a peer builds once (cross-attention keys and values) is in its decoding.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from pst_cli.bench.lanes import Contender, Kind, Lap, Said, Sound
from pst_cli.bench.openai import load_openai
from pst_cli.bench.race import PeerError
from pst_cli.bench.timing import Split, Stopwatch
from pst_cli.models.device import numbers
from pst_cli.types import SAMPLE_RATE, SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.bench.clips import Batch, Task

DECODE = "decode"  # the clock's name for the whole call, its encoder included


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where peers find the same weights, and how they are to run them."""

    checkpoint: Path  # in transformers' layout
    draft: Path | None  # the same, of the draft model
    ct2: Path | None  # the same weights in CTranslate2's layout
    device: str
    dtype: torch.dtype
    tokens: SpecialTokens


@dataclass
class Field:
    """The peers that can run, and why the others cannot."""

    peers: list[Contender] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def load_peers(setting: Setting) -> Field:
    """Load whatever is installed; nothing here is fatal."""
    found = Field()
    kinds: dict[str, Callable[[Setting], Peer]] = {
        "transformers": Transformers,
        "transformers-assisted": Assisted,
        "faster-whisper": FasterWhisper,
        "openai-whisper": OpenAI,
    }
    for name, kind in kinds.items():
        try:
            found.peers.append(kind(setting))
        except ImportError as error:
            found.missing[name] = f"not installed ({error.name}): pip install 'pst_cli[peers]'"
        except Exception as error:  # a peer's own failure is news, whatever it is
            found.missing[name] = reason(error)
    return found


def reason(error: Exception) -> str:
    """An error of other people's code in one line."""
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


class Peer:
    """What all peers share: the clock, and failures that end nobody else's race."""

    kind: Kind = "peer"
    lossy = False
    name = includes = ""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.watch = Stopwatch(setting.device)

    @torch.inference_mode()
    def lap(self, batch: Batch, sound: Sound) -> Lap:
        del sound  # a peer hears for itself
        self.watch.spent.clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = self.decode(batch.tasks)
        except Exception as error:  # a peer's own failure is news, whatever it is
            raise PeerError(reason(error)) from error
        return Lap(tuple(rows), self._split())

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        """Decode windows, in a block timed as `DECODE`."""
        raise NotImplementedError

    def _split(self) -> Split:
        spent = self.watch.spent
        inside = spent["encoder"] + spent["drafter_encoder"]
        return Split(
            features=spent["features"],
            encoder=spent["encoder"],
            drafter_encoder=spent["drafter_encoder"],
            other=spent[DECODE] - inside,
        )

    def said(self, tokens: Sequence[int], text: str) -> Said:
        """A row as pst's own are: without prompt and end token."""
        kept = list(tokens)
        if self.setting.tokens.end in kept:
            kept = kept[: kept.index(self.setting.tokens.end)]
        return Said(tuple(kept), text.strip())


def timed_module(module: nn.Module, watch: Stopwatch, name: str) -> None:
    """Have every call of `module` timed as `name`."""
    plain = module.forward

    def forward(*given: Any, **named: Any) -> Any:
        with watch.running(name):
            return plain(*given, **named)

    module.forward = forward


class Transformers(Peer):
    """transformers' own generate."""

    name = "transformers"
    timestamps = True
    includes = "generate(), its encoder left out of ms/token"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        import transformers

        with quietly():
            self.model = self._load(setting.checkpoint, "encoder")
            self.tokenizer = transformers.WhisperTokenizerFast.from_pretrained(setting.checkpoint)
            self.features = transformers.WhisperFeatureExtractor.from_pretrained(setting.checkpoint)

    def _load(self, path: Path, timer: str) -> Any:
        import transformers

        model = transformers.WhisperForConditionalGeneration.from_pretrained(
            path, dtype=self.setting.dtype, local_files_only=True
        )
        model = model.to(self.setting.device).eval()
        timed_module(model.model.encoder, self.watch, timer)
        return model

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        return self._generate(tasks)

    def _generate(self, tasks: Sequence[Task], **options: Any) -> list[Said]:
        sounds = [task.window.samples for task in tasks]
        with self.watch.running("features"):
            heard = self.features(sounds, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            log_mel = heard.input_features.to(self.setting.device, self.setting.dtype)
        with quietly(), self.watch.running(DECODE):
            rows = self.model.generate(
                log_mel,
                **_asked(tasks),
                **options,
                return_timestamps=self.timestamps,
                num_beams=1,
                do_sample=False,
            )
        return [self._row(row) for row in rows.tolist()]

    def _row(self, tokens: list[int]) -> Said:
        special = self.setting.tokens
        while tokens and special.end < tokens[0] < special.timestamp_begin:
            tokens = tokens[1:]  # the prompt, where this version gives it back
        said = self.said(tokens, "")
        words = [token for token in said.tokens if token < special.end]
        return Said(said.tokens, self.tokenizer.decode(words).strip())


class Assisted(Transformers):
    """transformers' assisted generation with the draft model; it takes one window at a time.

    Without timestamps: asked for them, it (5.23) masks drafts by the wrong prefix, puts a time
    amid the words and stops after a handful of tokens.
    """

    name = "transformers-assisted"
    timestamps = False
    includes = (
        "assisted generate() without timestamps, which it gets wrong, one window at a time, both "
        "encoders left out of ms/token"
    )

    def __init__(self, setting: Setting) -> None:
        if setting.draft is None:
            raise PeerError("needs --draft-model NAME")
        super().__init__(setting)
        with quietly():
            self.assistant = self._load(setting.draft, "drafter_encoder")

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        return [
            row for task in tasks for row in self._generate([task], assistant_model=self.assistant)
        ]


class FasterWhisper(Peer):
    """faster-whisper on CTranslate2's layout of the same weights; one window at a time."""

    name = "faster-whisper"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        import ctranslate2
        from faster_whisper import WhisperModel

        if setting.ct2 is None:
            raise PeerError("needs the same weights for CTranslate2: --ct2 DIR")
        kind, _, index = setting.device.partition(":")
        wanted = numbers(setting.dtype)
        able = ctranslate2.get_supported_compute_types(kind)
        compute = wanted if wanted in able else "float32"
        self.includes = f"transcribe() in {compute}, its encoder left out of ms/token"
        self.model = WhisperModel(
            str(setting.ct2),
            device=kind,
            device_index=int(index or 0),
            compute_type=compute,
            cpu_threads=torch.get_num_threads(),
            local_files_only=True,
        )
        self._time("encode", "encoder")
        self._time("feature_extractor", "features")

    def _time(self, attribute: str, name: str) -> None:
        plain = getattr(self.model, attribute)
        setattr(self.model, attribute, _Timed(plain, self.watch, name))

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        with self.watch.running(DECODE):
            return [self._one(task) for task in tasks]

    def _one(self, task: Task) -> Said:
        segments, _ = self.model.transcribe(
            task.window.samples,
            language=task.language or "en",
            task=task.task or "transcribe",
            beam_size=1,
            temperature=0.0,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            condition_on_previous_text=False,
        )
        found = list(segments)
        tokens = [token for segment in found for token in segment.tokens]
        return self.said(tokens, " ".join(segment.text.strip() for segment in found))

    def _split(self) -> Split:
        """Its features are made inside the call."""
        spent = self.watch.spent
        inside = spent["encoder"] + spent["features"]
        other = spent[DECODE] - inside
        return Split(features=spent["features"], encoder=spent["encoder"], other=other)


class _Timed:
    """A callable object whose calls are timed and whose attributes are its own."""

    def __init__(self, plain: Any, watch: Stopwatch, name: str) -> None:
        self._plain, self._watch, self._name = plain, watch, name

    def __call__(self, *given: Any, **named: Any) -> Any:
        with self._watch.running(self._name):
            return self._plain(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


class OpenAI(Peer):
    """openai-whisper's decode, the checkpoint's weights under its names."""

    name = "openai-whisper"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.half = setting.dtype == torch.float16
        self.includes = (
            f"decode() in {'float16' if self.half else 'float32'}, its encoder left out of ms/token"
        )
        self.model = load_openai(setting.checkpoint, setting.device)
        timed_module(self.model.encoder, self.watch, "encoder")

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        import whisper

        with self.watch.running("features"):
            mels = [
                whisper.log_mel_spectrogram(
                    whisper.pad_or_trim(torch.from_numpy(task.window.samples)),
                    self.model.dims.n_mels,
                )
                for task in tasks
            ]
            log_mel = torch.stack(mels).to(self.setting.device)
        one = tasks[0]  # its options are for a whole batch
        if any((task.language, task.task) != (one.language, one.task) for task in tasks):
            raise PeerError("decodes one source language a batch: --from, or --batch-size 1")
        options = whisper.DecodingOptions(
            language=one.language, task=one.task or "transcribe", fp16=self.half
        )
        with self.watch.running(DECODE):
            results = whisper.decode(self.model, log_mel, options)
        return [self.said(result.tokens, result.text) for result in results]


def _asked(tasks: Sequence[Task]) -> dict[str, Any]:
    """transformers' words for the prompts; none for a host that knows English alone."""
    if tasks[0].language is None:
        return {}
    languages = [str(task.language) for task in tasks]
    together = languages if len(languages) > 1 else languages[0]
    return {"language": together, "task": tasks[0].task}


@contextmanager
def quietly() -> Iterator[None]:
    """transformers without its bars and warnings."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
