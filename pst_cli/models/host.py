"""The host: one Whisper checkpoint, loaded through transformers and run by pst's own decoder."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from pst_cli.errors import ModelError
from pst_cli.models.adapter import Adapter, fingerprint, read_json, read_state
from pst_cli.models.alignment import alignment_heads
from pst_cli.models.context import Context, taught_context
from pst_cli.models.decoder import Decoder
from pst_cli.models.features import LogMel
from pst_cli.models.linear import freeze_linears
from pst_cli.models.products import exact, packed
from pst_cli.models.prompts import Ability
from pst_cli.models.session import Session
from pst_cli.types import WINDOW_SECONDS, Samples, SpecialTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pst_cli.models.products import Layout


def declared(ability: Ability) -> str:
    """As config.json says it."""
    return ability.name.lower().replace("_", "-")


DECLARED = {declared(one): one for one in Ability}


class Host:
    """A Whisper checkpoint ready to run: sound in, encoder states and decoding sessions out."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        features: Any,
        ability: Ability,
        identify: Callable[[], tuple[str, ...]] = tuple,
        context: Context = "full",
        layout: Layout = exact,
    ) -> None:
        """Take over a transformers WhisperForConditionalGeneration; its decoder is given up.

        `identify` tells its fingerprint, if that is known, and those of others with its decoder;
        `layout` is of the decoder's products.
        """
        self.ability, self.context = ability, context
        self._identify = identify
        self.config = model.config
        self.device, self.dtype = model.device, model.dtype
        self.tokens = special_tokens(tokenizer, model.generation_config)
        self.alignment_heads = alignment_heads(
            getattr(model.generation_config, "alignment_heads", None),
            model.config.decoder_layers,
            model.config.decoder_attention_heads,
        )
        self._tokenizer, self._features = tokenizer, LogMel(features, str(model.device))
        self.encoder = model.model.encoder
        self.encoder_sums = _sums(self.encoder)
        freeze_linears(self.encoder, packed)
        self.decoder = Decoder(
            model.model.decoder.state_dict(),
            model.config.decoder_layers,
            model.config.decoder_attention_heads,
            layout,
        )
        del model.model.decoder, model.proj_out

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

        Raises ModelError where it is not a whole Whisper checkpoint, or not the adapter's host.
        """
        model, tokenizer, features = read_parts(path, dtype, adapter)
        model = model.to(device).eval()

        def identify() -> tuple[str, ...]:
            if adapter is None:
                return (fingerprint(read_state(path)),)
            change = Adapter.load(adapter)
            alike = (change.config.sha256,) if change.spares_decoder else ()
            return change.fingerprint, *alike

        own = adapter or path
        able, context = ability(own, path), taught_context(own)
        return cls(model, tokenizer, features, able, identify, context, layout)

    @property
    def fingerprint(self) -> str:
        """The hash by which adapters and drafters name this host; "" where it is not known.

        The files are read again, once, and only where somebody asks: 0.1 s for base.
        """
        return next(iter(self._fingerprints), "")

    def decodes_as(self, fingerprint: str) -> bool:
        """Whether its decoder is that of the host with this `fingerprint`; the encoder may differ.

        What lives on that host's decoder serves this one.
        """
        return fingerprint in self._fingerprints

    @cached_property
    def _fingerprints(self) -> tuple[str, ...]:
        return self._identify()

    def log_mel(self, sounds: Sequence[Samples], seconds: float = WINDOW_SECONDS) -> Tensor:
        """Log-mel spectrograms of windows, padded to `seconds`: (rows, mels, frames)."""
        return self._features(sounds, seconds).to(self.device, self.dtype)

    @torch.inference_mode()
    def encode(self, log_mel: Tensor) -> Tensor:
        """Encoder states, (rows, frames / 2, d_model), of (rows, mels, frames).

        Takes any even number of frames up to 3000: transformers' own forward insists on 3000.
        """
        encoder = self.encoder
        states = functional.gelu(encoder.conv1(log_mel))
        states = functional.gelu(encoder.conv2(states)).transpose(1, 2)
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        for layer in encoder.layers:
            states = layer(states, None)
        return encoder.layer_norm(states)  # type: ignore[no-any-return]

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
        return self._tokenizer.decode(plain, clean_up_tokenization_spaces=False)  # type: ignore[no-any-return]


def _sums(module: torch.nn.Module) -> dict[str, float]:
    """A fingerprint of a network: equal weights have equal sums, and others hardly ever do."""
    return {
        name: float(tensor.sum(dtype=torch.float64)) for name, tensor in module.state_dict().items()
    }


def read_parts(path: Path, dtype: torch.dtype, adapter: Path | None) -> tuple[Any, Any, Any]:
    """Transformers' model, tokenizer and feature extractor of a checkpoint, an adapter merged.

    Raises ModelError as `Host.load` does.
    """
    change = Adapter.load(adapter) if adapter else None
    with transformers_quietly() as transformers:
        try:
            return (
                _load_model(transformers, path, dtype, change),
                transformers.WhisperTokenizerFast.from_pretrained(path, local_files_only=True),
                transformers.WhisperFeatureExtractor.from_pretrained(path, local_files_only=True),
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            hint = "check it with `pst models verify`, or name another with --model"
            raise ModelError(f"{path} does not load as Whisper: {reason}", hint=hint) from error


def _load_model(transformers: Any, path: Path, dtype: torch.dtype, adapter: Adapter | None) -> Any:
    kind = transformers.WhisperForConditionalGeneration
    if adapter is None:
        return kind.from_pretrained(path, dtype=dtype, use_safetensors=True, local_files_only=True)
    config = transformers.WhisperConfig(**adapter.model)
    model = kind.from_pretrained(
        None, config=config, state_dict=adapter.merged(path), dtype=dtype, local_files_only=True
    )
    model.generation_config = transformers.GenerationConfig.from_pretrained(path)
    return model


def ability(path: Path, host: Path | None = None) -> Ability:
    """What the checkpoint in `path` was trained to do, told from its config.json.

    pst's own hosts declare it ("pst": {"ability": "many-to-many"}). English-only ones have no
    language tokens that mean anything (an adapter has those of its `host`). Distilled ones, turbo
    among them, have fewer decoder than encoder layers and were trained on transcription alone.
    """
    config = read_json(path / "config.json")
    if declared := config.get("pst", {}).get("ability"):
        if declared in DECLARED:
            return DECLARED[declared]
        raise ModelError(f"{path} was made by another pst: its ability is {declared}")
    if not read_json((host or path) / "generation_config.json").get("lang_to_id"):
        return Ability.ENGLISH_ONLY
    if config["decoder_layers"] < config["encoder_layers"]:
        return Ability.TRANSCRIBE
    return Ability.STOCK


def special_tokens(tokenizer: Any, generation: Any) -> SpecialTokens:
    """The ids that prompts and token rules need, by name from the checkpoint's own tokenizer."""
    vocabulary = tokenizer.get_vocab()
    languages = {
        name[2:-2]: index for name, index in (getattr(generation, "lang_to_id", None) or {}).items()
    }
    no_timestamps = vocabulary["<|notimestamps|>"]
    silence = vocabulary.get("<|nospeech|>", vocabulary.get("<|nocaptions|>", no_timestamps - 1))
    return SpecialTokens(
        start=vocabulary["<|startoftranscript|>"],
        end=vocabulary["<|endoftext|>"],
        transcribe=vocabulary["<|transcribe|>"],
        translate=vocabulary["<|translate|>"],
        no_speech=silence,
        no_timestamps=no_timestamps,
        timestamp_begin=no_timestamps + 1,
        languages=languages,
        suppressed=tuple(generation.suppress_tokens or ()),
        suppressed_first=tuple(generation.begin_suppress_tokens or ()),
    )


@contextmanager
def transformers_quietly() -> Iterator[Any]:
    """Transformers with its progress bars and warnings off, while a checkpoint loads."""
    import transformers
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(verbosity)
