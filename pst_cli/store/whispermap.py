"""Which variable of a CTranslate2 Whisper becomes which tensor of a transformers one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pst_cli.errors import StoreError
from pst_cli.store.tensorfile import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pst_cli.store.ct2file import Ct2File

HEAD_DIM = 64  # of every published Whisper
Pair = tuple[str, str]  # (variable in CTranslate2, name in transformers), a prefix each


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Whisper, read off its tensors."""

    vocab: int
    width: int  # d_model
    mels: int
    source_positions: int
    target_positions: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int
    encoder_ffn: int
    decoder_ffn: int


@dataclass(frozen=True, slots=True)
class Part:
    """Tensor `name` is block `index` of the `count` that are stacked in `variable`."""

    name: str
    variable: str
    index: int = 0
    count: int = 1


def shape(file: Ct2File) -> Shape:
    """The sizes of the Whisper in `file`; raises `StoreError` where it is another network."""
    vocab, width = file.variable("decoder/embeddings/weight").shape
    return Shape(
        vocab=vocab,
        width=width,
        mels=file.variable("encoder/conv1/weight").shape[1],
        source_positions=file.variable("encoder/position_encodings/encodings").shape[0],
        target_positions=file.variable("decoder/position_encodings/encodings").shape[0],
        encoder_layers=_layers(file, "encoder"),
        decoder_layers=_layers(file, "decoder"),
        encoder_heads=file.scalar("encoder/num_heads") or width // HEAD_DIM,
        decoder_heads=file.scalar("decoder/num_heads") or width // HEAD_DIM,
        encoder_ffn=file.variable("encoder/layer_0/ffn/linear_0/weight").shape[0],
        decoder_ffn=file.variable("decoder/layer_0/ffn/linear_0/weight").shape[0],
    )


def tensors(file: Ct2File) -> tuple[Tensor, ...]:
    """Every tensor of the transformers model, in the float type of the file's own norms."""
    return tuple(_tensor(file, part) for part in parts(shape(file)))


def parts(sizes: Shape) -> Iterator[Part]:
    """All tensors of a Whisper of these sizes; the output projection is the token embedding."""
    for pair in (
        ("encoder/conv1", "model.encoder.conv1"),
        ("encoder/conv2", "model.encoder.conv2"),
    ):
        yield from _affine(pair)
    for side, layers in (("encoder", sizes.encoder_layers), ("decoder", sizes.decoder_layers)):
        positions = f"{side}/position_encodings/encodings"
        yield Part(f"model.{side}.embed_positions.weight", positions)
        yield from _norm((f"{side}/layer_norm", f"model.{side}.layer_norm"))
        for layer in range(layers):
            yield from _layer(side, (f"{side}/layer_{layer}", f"model.{side}.layers.{layer}"))
    yield Part("model.decoder.embed_tokens.weight", "decoder/embeddings/weight")


def _layer(side: str, pair: Pair) -> Iterator[Part]:
    theirs, ours = pair
    yield from _self_attention((f"{theirs}/self_attention", f"{ours}.self_attn"))
    yield from _norm((f"{theirs}/self_attention/layer_norm", f"{ours}.self_attn_layer_norm"))
    if side == "decoder":
        yield from _cross_attention((f"{theirs}/attention", f"{ours}.encoder_attn"))
        yield from _norm((f"{theirs}/attention/layer_norm", f"{ours}.encoder_attn_layer_norm"))
    yield from _affine((f"{theirs}/ffn/linear_0", f"{ours}.fc1"))
    yield from _affine((f"{theirs}/ffn/linear_1", f"{ours}.fc2"))
    yield from _norm((f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm"))


def _self_attention(pair: Pair) -> Iterator[Part]:
    theirs, ours = pair
    yield from _stack(f"{theirs}/linear_0", (f"{ours}.q_proj", f"{ours}.k_proj", f"{ours}.v_proj"))
    yield from _affine((f"{theirs}/linear_1", f"{ours}.out_proj"))


def _cross_attention(pair: Pair) -> Iterator[Part]:
    theirs, ours = pair
    yield from _affine((f"{theirs}/linear_0", f"{ours}.q_proj"))
    yield from _stack(f"{theirs}/linear_1", (f"{ours}.k_proj", f"{ours}.v_proj"))
    yield from _affine((f"{theirs}/linear_2", f"{ours}.out_proj"))


def _stack(variable: str, names: tuple[str, ...]) -> Iterator[Part]:
    for index, name in enumerate(names):
        yield Part(f"{name}.weight", f"{variable}/weight", index, len(names))
        if not name.endswith(".k_proj"):  # Whisper's keys have no bias; CTranslate2 puts zeros
            yield Part(f"{name}.bias", f"{variable}/bias", index, len(names))


def _affine(pair: Pair) -> Iterator[Part]:
    yield Part(f"{pair[1]}.weight", f"{pair[0]}/weight")
    yield Part(f"{pair[1]}.bias", f"{pair[0]}/bias")


def _norm(pair: Pair) -> Iterator[Part]:
    yield Part(f"{pair[1]}.weight", f"{pair[0]}/gamma")
    yield Part(f"{pair[1]}.bias", f"{pair[0]}/beta")


def _tensor(file: Ct2File, part: Part) -> Tensor:
    import numpy as np

    rows, *rest = file.variable(part.variable).shape
    dtype = np.dtype(file.variable("encoder/layer_norm/gamma").dtype)
    if rows % part.count or dtype.kind != "f":
        raise StoreError(f"{file.path} is not a Whisper that pst can read: see {part.variable}")
    each = rows // part.count
    block = slice(part.index * each, (part.index + 1) * each)

    def load() -> npt.NDArray[Any]:
        return file.floats(part.variable)[block].astype(dtype, copy=False)

    return Tensor(part.name, dtype, (each, *rest), load)


def _layers(file: Ct2File, side: str) -> int:
    count = 0
    while f"{side}/layer_{count}/self_attention/linear_0/weight" in file.variables:
        count += 1
    if not count:
        raise StoreError(f"{file.path} is not a Whisper that pst can read: its {side} is empty")
    return count
