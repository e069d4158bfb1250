"""transformers: its own generate, alone and assisted by a draft model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pst_cli.bench.lanes import Said
from pst_cli.bench.peers.peer import DECODE, Peer, Setting, timed_module
from pst_cli.bench.race import PeerError
from pst_cli.models.modules import transformers_quietly
from pst_cli.types import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.bench.clips import Task


class Transformers(Peer):
    """transformers' own generate."""

    name = "transformers"
    timestamps = True
    includes = "generate(), its encoder left out of ms/token"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        with transformers_quietly() as transformers:
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
        with transformers_quietly(), self.watch.running(DECODE):
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
        with transformers_quietly():
            self.assistant = self._load(setting.draft, "drafter_encoder")

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        return [
            row for task in tasks for row in self._generate([task], assistant_model=self.assistant)
        ]


def _asked(tasks: Sequence[Task]) -> dict[str, Any]:
    """transformers' words for the prompts; none for a host that knows English alone."""
    if tasks[0].language is None:
        return {}
    languages = [str(task.language) for task in tasks]
    together = languages if len(languages) > 1 else languages[0]
    return {"language": together, "task": tasks[0].task}
