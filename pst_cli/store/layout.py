"""What kind of weights a directory holds, told by its content."""

from __future__ import annotations

import enum
import os
import shlex
from typing import TYPE_CHECKING

from pst_cli.errors import StoreError
from pst_cli.paths import is_file
from pst_cli.store import cards, tensorfile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter.safetensors"  # of pst's own making; the host it names is fetched by itself
CT2_WEIGHTS = "model.bin"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth")
CARDS = ("config.json", "generation_config.json", "tokenizer.json")
FEATURES = ("preprocessor_config.json", "processor_config.json")  # either one will do
EXTRAS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "normalizer.json",
    "kept_tokens.json",  # where pst trimmed the vocabulary
)
CT2_CARDS = ("config.json", "tokenizer.json")
ADAPTER_CARDS = ("config.json",)
NETWORKS = dict.fromkeys(("kvspn", "medusa"), ("config.json", WEIGHTS))
DRAFTERS = tuple(  # pst's own, in folders beside the weights
    f"{kind}/{name}"
    for kind, names in (NETWORKS | {"student": (*CARDS, *FEATURES, ADAPTER, WEIGHTS)}).items()
    for name in names
)


class Layout(enum.Enum):
    """Whose way of laying out a model directory."""

    TRANSFORMERS = "transformers"
    CTRANSLATE2 = "CTranslate2"
    ADAPTER = "a pst adapter"


def tell(directory: Path) -> Layout:
    """The layout of `directory`; raises `StoreError` for pickled weights and for none."""
    if is_file(directory / WEIGHTS) or is_file(directory / INDEX):
        return Layout.TRANSFORMERS
    if is_file(directory / CT2_WEIGHTS):
        return Layout.CTRANSLATE2
    if is_file(directory / ADAPTER):
        return Layout.ADAPTER
    for pickle in PICKLES:
        if is_file(directory / pickle):
            raise StoreError(
                f"{directory} has its weights only as {pickle}, a pickle that could run any "
                "code when loaded; pst does not open it",
                hint="save the model again with save_pretrained, which writes model.safetensors",
            )
    if not os.access(directory, os.R_OK | os.X_OK):
        raise StoreError(
            f"{directory} may not be read", hint=f"ls -ld {shlex.quote(str(directory))}"
        )
    raise StoreError(
        f"{directory} holds no Whisper weights (no {WEIGHTS}, no {CT2_WEIGHTS})",
        hint="`pst models list` shows the known names",
    )


def check(directory: Path) -> None:
    """Raise `StoreError` unless `directory` is complete, by its headers: whole, or an adapter."""
    for name in missing(directory):
        raise StoreError(
            f"{directory} has no {name}",
            hint=f"take {name} from the hub repository of the model",
        )
    for shard in shards(directory):
        tensorfile.check(directory / shard)


def missing(directory: Path) -> tuple[str, ...]:
    """Names of the files that `directory` lacks to be a transformers one, or an adapter."""

    def there(name: str) -> bool:
        return is_file(directory / name)

    if shards(directory) == (ADAPTER,):
        return lacking(ADAPTER_CARDS, there)
    weights = () if there(WEIGHTS) or there(INDEX) else (WEIGHTS,)
    gone = (name for name in shards(directory) if not there(name))
    return (*lacking(CARDS, there), *weights, *gone)


def lacking(named: Sequence[str], there: Callable[[str], bool]) -> tuple[str, ...]:
    """Which of `named`, the cards of a layout, are not there; with `CARDS` go `FEATURES`."""
    gone = [name for name in named if not there(name)]
    if named == CARDS and not any(map(there, FEATURES)):
        gone.append(FEATURES[0])
    return tuple(gone)


def shards(directory: Path) -> tuple[str, ...]:
    """Names of the safetensors files in use: the single one, those its index lists, an adapter."""
    if is_file(directory / WEIGHTS):
        return (WEIGHTS,)
    if not is_file(directory / INDEX):
        return (ADAPTER,) if is_file(directory / ADAPTER) else ()
    names = cards.read_json(directory / INDEX).get("weight_map")
    if not isinstance(names, dict) or any("/" in str(n) or "\\" in str(n) for n in names.values()):
        raise StoreError(f"{directory / INDEX} is damaged: it maps no weights")
    return tuple(sorted({str(name) for name in names.values()}))
