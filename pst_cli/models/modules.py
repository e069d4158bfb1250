"""A Whisper checkpoint as transformers' own modules: what training teaches."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pst_cli.models.adapter import Adapter
from pst_cli.models.whisper import unfit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch


def read_modules(path: Path, dtype: torch.dtype, adapter: Path | None) -> tuple[Any, Any]:
    """Transformers' model and tokenizer of a checkpoint, an adapter merged.

    Raises ModelError as `read_whisper` does.
    """
    change = Adapter.load(adapter) if adapter else None
    with transformers_quietly() as transformers:
        try:
            return (
                _load_model(transformers, path, dtype, change),
                transformers.WhisperTokenizerFast.from_pretrained(path, local_files_only=True),
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise unfit(path, str(error).strip().splitlines()[0]) from error


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
