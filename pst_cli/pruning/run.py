"""One pruning: from a model on this disk to a smaller one in a directory of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pst_cli.console import display
from pst_cli.errors import DataError, ModelError, UsageError
from pst_cli.models.adapter import EMBEDDING
from pst_cli.models.pruning.layers import evenly
from pst_cli.models.pruning.vocabulary import count_tokens, read_vocabulary
from pst_cli.outputs import check_new, landing
from pst_cli.paths import known_as
from pst_cli.pruning.cut import Cut, write_pruned
from pst_cli.pruning.texts import read_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from pst_cli.weights import Checkpoint

WHISPER = "whisper"
PARTS = ("encoder", "decoder", "embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """How much stays; None keeps all of it."""

    decoder_layers: int | None = None
    encoder_layers: int | None = None
    vocabulary: int | None = None  # text tokens, bytes and parts included
    texts: Sequence[Path] = ()  # to count tokens over


@dataclass(frozen=True, slots=True)
class Size:
    """What one part of a model takes."""

    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Trim:
    """What became of the vocabulary."""

    text: int  # text tokens kept
    covered: float  # of the tokens that spell the texts, the share that was kept


@dataclass(frozen=True, slots=True)
class Report:
    """What was dropped and what that saved; sizes by part, "all" among them."""

    cut: Cut
    before: Mapping[str, Size]
    after: Mapping[str, Size]
    rows: tuple[int, int]  # tokens before and after
    layers: Mapping[str, int]  # of each side, before
    trim: Trim | None


def check_options(output: Path, options: PruneOptions) -> None:
    """Refuse, before anything is fetched, what could not be done; raises UsageError."""
    check_new(output)
    if options.vocabulary is not None and not options.texts:
        hint = "add --text FILE with real text of the languages to keep"
        raise UsageError("--vocabulary needs text to count tokens over", hint=hint)
    if options.texts and options.vocabulary is None:
        hint = "add --vocabulary N, how many text tokens to keep"
        raise UsageError("--text is for trimming the vocabulary", hint=hint)
    if options.decoder_layers is options.encoder_layers is options.vocabulary is None:
        hint = "say what stays: --decoder-layers N, --encoder-layers N, --vocabulary N --text FILE"
        raise UsageError("nothing to drop", hint=hint)


def prune(checkpoint: Checkpoint, name: str, output: Path, options: PruneOptions) -> Report:
    """Write the model called `name`, pruned, to `output`, which is there whole or not at all.

    Raises UsageError for more than the model has or less than it needs, ModelError where it is no
    Whisper, DataError for texts that cannot serve, OutputError where it cannot be written.
    """
    check_options(output, options)
    config = checkpoint.config
    if config.get("model_type") != WHISPER:
        hint = "name a Whisper: tiny, base, small, medium, large-v3, a hub id or a directory"
        raise ModelError(f"{name} is no Whisper: config.json says otherwise", hint=hint)
    layers = {side: config[f"{side}_layers"] for side in ("encoder", "decoder")}
    cut = Cut(
        _layers(name, "encoder", layers, options.encoder_layers),
        _layers(name, "decoder", layers, options.decoder_layers),
    )
    trim = None
    if options.vocabulary is not None:
        cut, trim = _trimmed(checkpoint, name, cut, options)
    state = checkpoint.state()
    before, rows = sizes(state), len(state[EMBEDDING])
    state = cut.apply(state)
    with landing(output) as work:
        write_pruned(checkpoint, known_as(name), work, state, cut)
    return Report(cut, before, sizes(state), (rows, len(state[EMBEDDING])), layers, trim)


def _layers(name: str, side: str, layers: Mapping[str, int], wanted: int | None) -> Sequence[int]:
    most = layers[side]
    if wanted is not None and not 1 <= wanted <= most:
        hint = f"give a number from 1 to {most}"
        raise UsageError(f"--{side}-layers {wanted}: {name} has {most}", hint=hint)
    return evenly(most, most if wanted is None else wanted)


def _trimmed(
    checkpoint: Checkpoint, name: str, cut: Cut, options: PruneOptions
) -> tuple[Cut, Trim]:
    """`cut` with the tokens to keep: text by frequency, and all from <|endoftext|> up."""
    size, folder = options.vocabulary or 0, checkpoint.host
    vocabulary = read_vocabulary(folder)
    least, most = len(vocabulary.always), vocabulary.end
    if not least <= size <= most:
        reason = f"bytes alone are {least} text tokens" if size < least else f"it has {most}"
        hint = f"give a number from {least:,} to {most:,}; 20,000 is ample for six languages"
        raise UsageError(f"--vocabulary {size}: {name} cannot, {reason}", hint=hint)
    counts = count_tokens(folder, read_texts(options.texts), vocabulary.end)
    if not counts:
        named = ", ".join(map(display, options.texts))
        raise DataError(f"no text in {named}", hint="name files with --text that hold some")
    text = vocabulary.choose(counts, size)
    covered = sum(counts[token] for token in text) / counts.total()
    rows = range(vocabulary.end, checkpoint.config["vocab_size"])
    kept = Cut(cut.encoder, cut.decoder, (*text, *rows), vocabulary.end)
    return kept, Trim(len(text), covered)


def sizes(state: Mapping[str, Tensor]) -> dict[str, Size]:
    """The sizes of a model's parts; the embedding, which is the output head too, counts once."""
    found = dict.fromkeys((*PARTS, "all"), Size(0, 0))
    for name, tensor in state.items():
        part = "embedding" if name == EMBEDDING else name.split(".")[1]
        for key in (part, "all"):
            old = found[key]
            found[key] = Size(old.parameters + tensor.numel(), old.bytes + tensor.nbytes)
    return found
