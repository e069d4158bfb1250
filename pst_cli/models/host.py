"""The host: one Whisper checkpoint, loaded through transformers and run by pst's own decoder."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pst_cli.errors import ModelError
from pst_cli.models.adapter import CONFIG, Adapter, fingerprint, read_json, read_state
from pst_cli.models.alignment import alignment_heads
from pst_cli.models.context import Context, taught_context
from pst_cli.models.decoder import Decoder
from pst_cli.models.device import fitting
from pst_cli.models.encoder import Encoder
from pst_cli.models.features import LogMel
from pst_cli.models.products import exact
from pst_cli.models.prompts import Ability
from pst_cli.models.pruning.layers import HEADS
from pst_cli.models.session import Session
from pst_cli.models.whisper import GENERATION, read_whisper, special_tokens, unfit
from pst_cli.types import WINDOW_SECONDS, Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pst_cli.models.products import Layout
    from pst_cli.models.whisper import Whisper


def declared(ability: Ability) -> str:
    """As config.json says it."""
    return ability.name.lower().replace("_", "-")


DECLARED = {declared(one): one for one in Ability}


class Host:
    """A Whisper checkpoint ready to run: sound in, encoder states and decoding sessions out."""

    def __init__(
        self,
        whisper: Whisper,
        device: str,
        dtype: torch.dtype,
        ability: Ability,
        identify: Callable[[], tuple[str, ...]] = tuple,
        context: Context = "full",
        layout: Layout = exact,
        no_speech_threshold: float | None = None,
    ) -> None:
        """Lay out the weights of `whisper`; KeyError where one or a name is missing.

        `identify` tells its `lineage`, if that is known; `layout` is of the decoder's products;
        `no_speech_threshold` is its own, if it declares one.
        """
        self.ability, self.context = ability, context
        self.no_speech_threshold = no_speech_threshold
        self._identify = identify
        self.device, self.dtype = torch.device(device), dtype
        self.shape, self._tokenizer = whisper.shape, whisper.tokenizer
        self.tokens = special_tokens(self._tokenizer.get_vocab(), whisper.generation)
        layers, heads = self.shape.decoder_layers, self.shape.decoder_attention_heads
        known = whisper.generation.get(HEADS)
        self.alignment_heads = alignment_heads(known, layers, heads)
        self._log_mel = LogMel(self.shape.num_mel_bins, device)
        self.encoder = Encoder(
            whisper.part("model.encoder.", device, dtype),
            self.shape.encoder_layers,
            self.shape.encoder_attention_heads,
        )
        state = whisper.part("model.decoder.", device, dtype)
        self.decoder = Decoder(state, layers, heads, layout)

    @classmethod
    def load(
        cls,
        path: Path,
        device: str,
        dtype: torch.dtype,
        adapter: Path | None = None,
        layout: Layout = exact,
    ) -> Host:
        """Load a checkpoint directory in transformers' layout, with the adapter in another merged.

        Raises ModelError where it is not a whole Whisper checkpoint, or not the adapter's host, or
        does not fit in memory.
        """
        hint = "use a smaller --model, or --device cpu"
        with fitting(f"with {path}", hint):
            whisper = read_whisper(path, adapter)

        def identify() -> tuple[str, ...]:
            if adapter:
                return Adapter.load(adapter).lineage
            return (fingerprint(read_state(path)),)

        own = adapter or path
        able, context, silence = ability(own, path), taught_context(own), no_speech_threshold(own)
        try:
            with fitting(f"with {path}", hint):
                return cls(whisper, device, dtype, able, identify, context, layout, silence)
        except KeyError as error:
            raise unfit(path, f"it lacks {error}") from error

    @property
    def fingerprint(self) -> str:
        """The hash by which adapters and drafters name this host; "" where it is not known."""
        return next(iter(self.lineage), "")

    @cached_property
    def lineage(self) -> tuple[str, ...]:
        """Its fingerprint, then that of the host which it was adapted from, if it was.

        What lives on that one's decoder can live on this one's: the less of it the adapter changed,
        the better. The files are read again, once, and only where somebody asks: 0.1 s for base.
        """
        return self._identify()

    def log_mel(self, sounds: Sequence[Samples], seconds: float = WINDOW_SECONDS) -> Tensor:
        """Log-mel spectrograms of windows, padded to `seconds`: (rows, mels, frames)."""
        return self._log_mel(sounds, seconds).to(self.dtype)

    @torch.inference_mode()
    def encode(self, log_mel: Tensor) -> Tensor:
        """Encoder states, (rows, frames / 2, d_model), of (rows, mels, frames); see `Encoder`."""
        return self.encoder(log_mel)

    @torch.inference_mode()
    def open(
        self,
        encoded: Tensor,
        beams: int = 1,
        mask: Tensor | None = None,
        windows: Sequence[int] | None = None,
    ) -> Session:
        """Begin decoding windows, `beams` rows each or as `windows` says; see `Decoder.open`."""
        return Session(self.decoder, self.decoder.open(encoded, beams, mask, windows))

    @torch.inference_mode()
    def language_scores(
        self, encoded: Tensor, languages: Sequence[str], mask: Tensor | None = None
    ) -> Tensor:
        """Log-probabilities of `languages` among all that the host knows: (rows, languages)."""
        start = torch.full((len(encoded), 1), self.tokens.start, device=self.device)
        session = self.open(encoded, mask=mask)
        logits = session.logits(session.forward(start, [0] * len(encoded)))[:, 0]
        every = list(self.tokens.languages)
        scores = logits[:, [self.tokens.languages[name] for name in every]].log_softmax(-1)
        return scores[:, [every.index(name) for name in languages]]

    def words(self) -> dict[str, int]:
        """The text tokens it knows, and their ids."""
        known: dict[str, int] = self._tokenizer.get_vocab()
        return {word: index for word, index in known.items() if index < self.tokens.end}

    def text(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`; special tokens and timestamps are left out."""
        plain = [token for token in tokens if token < self.tokens.end]
        text: str = self._tokenizer.decode(plain)
        return text


def no_speech_threshold(path: Path) -> float | None:
    """How probable silence is to the host in `path` where there is none, at most.

    As its config.json declares ("pst": {"no_speech_threshold": 0.75}); None: as to Whisper. What a
    host learns moves it, for nothing tells it what to say of silence. ModelError where it is no
    probability.
    """
    declared = (read_json(path / CONFIG).get("pst") or {}).get("no_speech_threshold")
    if declared is None or (isinstance(declared, float) and 0 < declared <= 1):
        return declared
    raise ModelError(f"{path} was made by another pst: its no_speech_threshold is {declared}")


def ability(path: Path, host: Path | None = None) -> Ability:
    """What the checkpoint in `path` was trained to do, told from its config.json.

    pst's own hosts declare it ("pst": {"ability": "many-to-many"}). English-only ones have no
    language tokens that mean anything (an adapter has those of its `host`). Distilled ones, turbo
    among them, have fewer decoder than encoder layers and were trained on transcription alone.
    """
    config = read_json(path / CONFIG)
    if declared := config.get("pst", {}).get("ability"):
        if declared in DECLARED:
            return DECLARED[declared]
        raise ModelError(f"{path} was made by another pst: its ability is {declared}")
    if not read_json((host or path) / GENERATION).get("lang_to_id"):
        return Ability.ENGLISH_ONLY
    if config["decoder_layers"] < config["encoder_layers"]:
        return Ability.TRANSCRIBE
    return Ability.STOCK
