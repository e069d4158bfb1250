"""The JSON files transformers wants beside converted weights.

Token ids come from the tokenizer, never from constants: large-v3 has one language more than
its elders, so every id after the languages is shifted there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pst_cli.errors import StoreError
from pst_cli.types import SAMPLE_RATE, WINDOW_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from pst_cli.store.whispermap import Shape

ENGLISH_ONLY_VOCABULARY = 51864  # tokens; multilingual Whispers have at least one more
LONGEST_OUTPUT = 448  # tokens, prompt included
LATEST_FIRST_TIMESTAMP = 50  # steps of 20 ms: a window's first segment starts within 1 s
HOP = 160  # samples, 10 ms
FFT = 400  # samples, 25 ms
WINDOW_SAMPLES = int(WINDOW_SECONDS * SAMPLE_RATE)

LANGUAGE_TOKEN = re.compile(r"<\|[a-z]{2,3}\|>")
END = "<|endoftext|>"
START = "<|startoftranscript|>"
TRANSLATE = "<|translate|>"
TRANSCRIBE = "<|transcribe|>"
PREVIOUS = "<|startofprev|>"
NO_TIMESTAMPS = "<|notimestamps|>"
BLANK = "Ġ"  # a lone space in byte-level BPE

Json = dict[str, Any]  # only here, at the edge, where the files are dicts by nature


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a tokenizer.json and their ids."""

    path: Path
    ids: dict[str, int]

    def __getitem__(self, token: str) -> int:
        try:
            return self.ids[token]
        except KeyError:
            raise StoreError(
                f"{self.path} is not a Whisper tokenizer: it has no {token}",
                hint="take tokenizer.json from the hub repository of the original model",
            ) from None

    @property
    def languages(self) -> dict[str, int]:
        """Language tokens, which lie between the start and the task tokens."""
        first, last = self[START], self[TRANSLATE]
        return {
            token: number
            for token, number in sorted(self.ids.items(), key=lambda item: item[1])
            if first < number < last and LANGUAGE_TOKEN.fullmatch(token)
        }

    @property
    def special(self) -> list[str]:
        """Every token from the start token to the last one before the timestamps."""
        ordered = sorted(self.ids.items(), key=lambda item: item[1])
        return [token for token, number in ordered if self[START] <= number <= self[NO_TIMESTAMPS]]


def write(source: Path, target: Path, shape: Shape, dtype: str) -> None:
    """Write all files but the weights into `target`, for the CTranslate2 directory `source`."""
    tokens = read_tokens(source / "tokenizer.json")
    theirs = read_json(source / "config.json")
    (target / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    _save(target / "tokenizer_config.json", tokenizer_config(tokens))
    _save(target / "config.json", model_config(tokens, shape, dtype))
    _save(target / "generation_config.json", generation_config(tokens, shape, theirs))
    own = source / "preprocessor_config.json"
    features = read_json(own) if own.is_file() else feature_config(shape)
    _save(target / "preprocessor_config.json", features)


def read_json(path: Path) -> Json:
    """The JSON object in `path`; raises `StoreError` where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(
            f"{path.parent} has no {path.name}",
            hint=f"take {path.name} from the hub repository of the model",
        ) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: it is not JSON") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} is damaged: it holds no JSON object")
    return value


def read_tokens(path: Path) -> Tokens:
    """Every token of a tokenizer.json, added ones included."""
    tokenizer = read_json(path)
    try:
        ids = dict(tokenizer["model"]["vocab"])
        ids |= {added["content"]: added["id"] for added in tokenizer["added_tokens"]}
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is not a Whisper tokenizer") from error
    return Tokens(path, ids)


def model_config(tokens: Tokens, shape: Shape, dtype: str) -> Json:
    """The sizes of the network; what decoding needs is in `generation_config`."""
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "activation_function": "gelu",
        "d_model": shape.width,
        "num_mel_bins": shape.mels,
        "vocab_size": shape.vocab,
        "encoder_layers": shape.encoder_layers,
        "encoder_attention_heads": shape.encoder_heads,
        "encoder_ffn_dim": shape.encoder_ffn,
        "decoder_layers": shape.decoder_layers,
        "decoder_attention_heads": shape.decoder_heads,
        "decoder_ffn_dim": shape.decoder_ffn,
        "max_source_positions": shape.source_positions,
        "max_target_positions": shape.target_positions,
        "tie_word_embeddings": True,
        "dtype": dtype,
        **_boundary_ids(tokens),
    }


def generation_config(tokens: Tokens, shape: Shape, theirs: Json) -> Json:
    """What decoding needs; `theirs` is the config.json of CTranslate2."""
    begin = [tokens.ids[BLANK], tokens[END]] if BLANK in tokens.ids else [tokens[END]]
    return {
        **_boundary_ids(tokens),
        **_multilingual(tokens, shape),
        "alignment_heads": theirs.get("alignment_heads") or _later_heads(shape),
        "suppress_tokens": [token for token in theirs.get("suppress_ids") or () if token >= 0],
        "begin_suppress_tokens": theirs.get("suppress_ids_begin") or begin,
        "no_timestamps_token_id": tokens[NO_TIMESTAMPS],
        "prev_sot_token_id": tokens[PREVIOUS],
        "max_initial_timestamp_index": LATEST_FIRST_TIMESTAMP,
        "max_length": LONGEST_OUTPUT,
        "return_timestamps": False,
    }


def _multilingual(tokens: Tokens, shape: Shape) -> Json:
    """English-only tokenizers list language tokens too, but their models never saw them."""
    if shape.vocab == ENGLISH_ONLY_VOCABULARY:
        return {"is_multilingual": False}
    return {
        "is_multilingual": True,
        "lang_to_id": tokens.languages,
        "task_to_id": {"transcribe": tokens[TRANSCRIBE], "translate": tokens[TRANSLATE]},
    }


def _boundary_ids(tokens: Tokens) -> Json:
    end = tokens[END]
    return {
        "decoder_start_token_id": tokens[START],
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def _later_heads(shape: Shape) -> list[list[int]]:
    """Without a choice of heads, CTranslate2 aligns with all those of the later half."""
    layers = range(shape.decoder_layers // 2, shape.decoder_layers)
    return [[layer, head] for layer in layers for head in range(shape.decoder_heads)]


def tokenizer_config(tokens: Tokens) -> Json:
    """What tells transformers which class reads tokenizer.json, and which tokens are no text.

    Its decoder takes the last special token for the one before the first timestamp, so all of
    them are listed, in the order of their ids.
    """
    return {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "additional_special_tokens": tokens.special,
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
    }


def feature_config(shape: Shape) -> Json:
    """How sound becomes the log-mel spectrum this model was trained on."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": shape.mels,
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP,
        "n_fft": FFT,
        "chunk_length": int(WINDOW_SECONDS),
        "n_samples": WINDOW_SAMPLES,
        "nb_max_frames": WINDOW_SAMPLES // HOP,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def _save(path: Path, value: Json) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
