"""Export: a model written whole, as other Whisper programs open it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.errors import ModelError, UsageError
from pst_cli.models.adapter import (
    Adapter,
    AdapterConfig,
    fingerprint,
    read_adapter_config,
    read_state,
    write_state,
)
from pst_cli.models.device import numbers
from pst_cli.models.kvspn_config import CONFIG, read_config
from pst_cli.models.lowrank import slim
from pst_cli.models.modules import transformers_quietly
from pst_cli.models.pruning.layers import kept_layers
from pst_cli.models.whisper import GENERATION
from pst_cli.outputs import check_new, landing
from pst_cli.store import layout
from pst_cli.weights import Checkpoint, link_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

CARD = "README.md"
PICTURES = "*.png"  # that the card shows
WHOLE, CONVERTED = ".whole", "converted"  # names under way
RUN = ("cache", "checkpoints")  # of a training run, where that was made beside its host
EIGHT = "int8"  # of an adapter's matrices
BESIDE = ("kvspn", "medusa", "student")  # folders that go with their host
COPIED = (*layout.CARDS[1:], *layout.FEATURES, *layout.EXTRAS)  # all but config.json
CT2_COPIED = ("tokenizer.json", "preprocessor_config.json")  # what faster-whisper looks for


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """In whose layout and in what numbers; None keeps those of the host."""

    ctranslate2: bool = False
    host: tuple[str, Checkpoint] | None = (
        None  # whole weights, and their name, to make an adapter of
    )
    size: int | None = None  # bytes; an adapter's changes are cut down to so many
    quantization: str | None = None  # of CTranslate2's, int8 to float32; of an adapter's, int8
    dtype: torch.dtype | None = None


def check_output(output: Path, *, ctranslate2: bool) -> None:
    """Refuse, before anything is fetched, what could not be finished.

    Raises UsageError where there is something at `output`, or CTranslate2 is not installed.
    """
    check_new(output)
    if not ctranslate2:
        return
    try:
        import_module("ctranslate2")
    except ImportError as error:
        hint = "pip install ctranslate2"
        reason = "--format ctranslate2 needs the package ctranslate2, which is not installed"
        raise UsageError(reason, hint=hint) from error


def export(checkpoint: Checkpoint, output: Path, options: ExportOptions) -> float:
    """Write `checkpoint` to the directory `output`, which is there whole or not at all.

    Returns how much of an adapter's changes is left, 1 where nothing was cut down.
    Raises OutputError where it cannot be written, ModelError where it cannot be made.
    """
    check_output(output, ctranslate2=options.ctranslate2)
    with landing(output) as work:
        if options.host or options.size is not None:
            return _write_adapter(checkpoint, work, output, options)
        if not options.ctranslate2:
            _write_whole(checkpoint, work, options.dtype)
            return 1.0
        whole = work / WHOLE
        whole.mkdir()
        _write_whole(checkpoint, whole, options.dtype)
        _convert(whole, whole / CONVERTED, options.quantization)
        for file in (whole / CONVERTED).iterdir():
            file.rename(work / file.name)
        shutil.rmtree(whole)
        _copy_card(checkpoint.path, work)
    return 1.0


def _write_adapter(
    checkpoint: Checkpoint, folder: Path, output: Path, options: ExportOptions
) -> float:
    """An adapter, without its drafters, in `folder`, which is to become `output`.

    Returns how much of the changes is left.
    """
    if options.host:
        name, host = options.host
        whole = read_state(host.host)
        adapter = _difference(checkpoint, whole, host.config, link_name(name, host, output))
    elif checkpoint.adapter:
        adapter = Adapter.load(checkpoint.adapter)
        link = link_name(adapter.config.host, checkpoint, output)
        adapter = replace(adapter, config=replace(adapter.config, host=link))
        whole = adapter.whole(checkpoint.host)
    else:
        hint = "add --host and the model that it was made of; pst prune makes whole models smaller"
        raise UsageError("only an adapter can be cut down to a size", hint=hint)
    kept, eight = 1.0, options.quantization == EIGHT
    if options.size is not None:
        slimmed = slim(adapter, whole, options.size, eight=eight)
        adapter, kept = slimmed.adapter, slimmed.kept
    adapter.save(folder, torch.int8 if eight else torch.float16)
    _copy_card(checkpoint.path, folder)
    return kept


def _difference(
    checkpoint: Checkpoint, whole: Mapping[str, Tensor], model: Mapping[str, Any], name: str
) -> Adapter:
    """What makes the model in `checkpoint` of the `whole` weights of `model`, called `name`."""
    config = checkpoint.config
    link = AdapterConfig(name, fingerprint(whole), layers=kept_layers(config, model))
    return Adapter.between(checkpoint.state(), whole, config, link)


def _write_whole(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype | None) -> None:
    """As transformers lays it out, with the model card and the drafters beside."""
    state = checkpoint.state(dtype)
    write_model(folder, state, checkpoint.config, checkpoint)
    _copy_card(checkpoint.path, folder)
    _copy_beside(checkpoint, folder, fingerprint(state))


def write_model(
    folder: Path, state: Mapping[str, Tensor], config: Mapping[str, Any], source: Checkpoint
) -> None:
    """Weights and config.json; tokenizer and all else are those of the model in `source`.

    Raises OutputError where the weights cannot be written.
    """
    write_state(folder, state)
    copy_files(source.host, folder, COPIED)
    write_json(folder / GENERATION, source.generation)
    document = {**config, "dtype": numbers(next(iter(state.values())).dtype)}
    document.pop("torch_dtype", None)  # its older name
    write_json(folder / CONFIG, document)


def copy_files(source: Path, folder: Path, names: Iterable[str]) -> None:
    """Those of `names` that are in `source`, to be written over like any other in `folder`."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _copy_card(source: Path, folder: Path) -> None:
    for path in (*source.glob(CARD), *source.glob(PICTURES)):
        shutil.copy(path, folder / path.name)


def _copy_beside(checkpoint: Checkpoint, folder: Path, host: str) -> None:
    """Drafters, those that are adapters whole: the weights that these are of are not there.

    A KVSPN of the host, or of what that was adapted from, is now one of that whose fingerprint is
    `host`.
    """
    for name in BESIDE:
        source = checkpoint.path / name
        if not source.is_dir():
            continue
        if read_adapter_config(source):
            (folder / name).mkdir()
            _write_whole(Checkpoint(source, checkpoint.host), folder / name, None)
            continue
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(*RUN))
        config = read_config(source)
        if config and config.host and config.host in checkpoint.lineage:
            document = json.loads((source / CONFIG).read_bytes())
            write_json(folder / name / CONFIG, document | {"host": host})


def write_json(path: Path, document: object) -> None:
    """Write `document` as the JSON files of a checkpoint are."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _convert(whole: Path, folder: Path, quantization: str | None) -> None:
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(str(whole), copy_files=list(CT2_COPIED))
    with transformers_quietly():
        try:
            converter.convert(str(folder), quantization=quantization)
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"CTranslate2 cannot convert it: {reason}") from error
