"""faster-whisper on CTranslate2's layout of the same weights; one window at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pst_cli.bench.peers.peer import DECODE, Peer, Setting
from pst_cli.bench.race import PeerError
from pst_cli.bench.timing import Split, Stopwatch
from pst_cli.models.device import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.bench.clips import Task
    from pst_cli.bench.lanes import Said


class FasterWhisper(Peer):
    """Its transcribe(), without fallback."""

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
