"""A text translator: a Marian model for one pair of languages, such as those of opus-mt."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.errors import ModelError
from pst_cli.models.adapter import fingerprint
from pst_cli.models.modules import transformers_quietly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pst_cli.models.device import Place

KIND = "marian"
EXAMPLE = "Helsinki-NLP/opus-mt-en-fr"
WORDIER, ROOM = 2, 10  # a translation has at most so many times the tokens, and so many more


class TextTranslator:
    """Puts texts of one language into another, greedily or by beams.

    `name` is a hub id or a directory in the layout of transformers; `offline` fetches nothing.
    Raises ModelError where there is no such model.
    """

    def __init__(self, name: str, place: Place, *, beams: int = 1, offline: bool = False) -> None:
        self._tokenizer, model = _opened(name, place.dtype, offline=offline)
        self._model = model.to(place.device).eval()
        self._model.generation_config.update(num_beams=beams, do_sample=False, max_length=None)
        self._longest: int = model.config.max_position_embeddings

    @property
    def fingerprint(self) -> str:
        """The hash of its weights."""
        return fingerprint(self._model.state_dict())

    def translated(self, texts: Sequence[str]) -> list[str]:
        """Each of `texts`, at once, in the other language; "" where it is longer than it can read.

        Capitals alone, as corpora of speech have them, are read as small letters: translators
        take them for names.
        """
        with transformers_quietly():  # what is too long is told of, too
            read = self._tokenizer([_in_sentence_case(text) for text in texts])["input_ids"]
        within = [place for place, tokens in enumerate(read) if len(tokens) <= self._longest]
        said = [""] * len(texts)
        if within:
            for place, text in zip(within, self._said([read[one] for one in within]), strict=True):
                said[place] = text
        return said

    @torch.inference_mode()
    def _said(self, read: list[list[int]]) -> list[str]:
        batch = self._tokenizer.pad({"input_ids": read}, return_tensors="pt")
        batch = batch.to(self._model.device)
        room = min(WORDIER * batch["input_ids"].shape[1] + ROOM, self._longest - 1)
        found = self._model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=room,
        )
        texts = self._tokenizer.batch_decode(found, skip_special_tokens=True)
        return [text.strip() for text in texts]


def _in_sentence_case(text: str) -> str:
    return text.capitalize() if text.isupper() else text


def _opened(name: str, dtype: torch.dtype, *, offline: bool) -> tuple[Any, Any]:
    with transformers_quietly() as transformers, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is a finer tokenizer yet
        try:
            config = transformers.AutoConfig.from_pretrained(name, local_files_only=offline)
            if config.model_type != KIND:
                raise ValueError(f"{config.model_type}, not {KIND}")
            return (
                transformers.AutoTokenizer.from_pretrained(name, local_files_only=offline),
                transformers.MarianMTModel.from_pretrained(
                    name, dtype=dtype, local_files_only=offline
                ),
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            hint = (
                f"name a hub id such as {EXAMPLE}, or a directory of one; reading it needs: "
                "pip install 'pst_cli[train]'"
            )
            raise ModelError(f"{name} is no text translator: {reason}", hint=hint) from error
