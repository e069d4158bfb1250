"""Which parts of a host learn: whole layers, or LoRA beside frozen ones (Hu et al., 2106.09685)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from pst_cli.errors import UsageError
from pst_cli.models.adapter import TIED, Adapter, AdapterConfig
from pst_cli.models.compact import DOWN, UP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

ARCHITECTURE = "WhisperForConditionalGeneration"
Learning = Literal["full", "lora", "frozen"]
LEARNING: tuple[Learning, ...] = ("full", "lora", "frozen")


@dataclass(frozen=True, slots=True)
class Adapting:
    """How encoder and decoder learn.

    With "lora", `free` last encoder layers learn in full: the paper's 20 of 24 with LoRA and 4
    free are 5 and 1 of base's 6.
    """

    encoder: Learning = "lora"
    decoder: Learning = "lora"
    free: int = 1  # encoder layers
    rank: int = 32
    alpha: float = 64.0  # the paper's
    embeddings: bool = False  # whether tokens' embeddings, the output head too, learn


def adapt(whisper: Any, adapting: Adapting, seed: int) -> None:
    """Freeze `whisper`, a transformers one, but for what learns; LoRA is put in where asked for.

    Raises UsageError where nothing would learn.
    """
    model = whisper.model
    whisper.requires_grad_(False)
    encoder_layers, free = whisper.config.encoder_layers, adapting.free
    if not 0 <= free <= encoder_layers:
        hint = f"0 to {encoder_layers}"
        raise UsageError(f"--free-layers {free}: it has {encoder_layers} layers", hint=hint)
    held = encoder_layers - free
    places = _layers("encoder", held) if adapting.encoder == "lora" else []
    if adapting.decoder == "lora":
        places += _layers("decoder", whisper.config.decoder_layers)
    if places:
        _inject(whisper, places, adapting, seed)
    whole = {
        "full": [model.encoder],
        "lora": [*model.encoder.layers[held:], model.encoder.layer_norm] if free else [],
        "frozen": [],
    }[adapting.encoder]
    whole += [*model.decoder.layers, model.decoder.layer_norm] if adapting.decoder == "full" else []
    for module in whole:
        module.requires_grad_(True)
    model.encoder.embed_positions.requires_grad_(False)  # sinusoids
    model.decoder.embed_tokens.requires_grad_(adapting.embeddings)
    if not any(parameter.requires_grad for parameter in whisper.parameters()):
        raise UsageError("nothing would learn", hint="use --decoder lora or --encoder lora")


def _layers(side: str, first: int) -> list[str]:
    return [f"model.{side}.layers.{number}" for number in range(first)]


def _inject(whisper: Any, places: list[str], adapting: Adapting, seed: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model
    from torch import nn

    names = [
        name
        for name, module in whisper.named_modules()
        if isinstance(module, nn.Linear) and any(name.startswith(f"{place}.") for place in places)
    ]
    torch.manual_seed(seed)
    config = LoraConfig(r=adapting.rank, lora_alpha=adapting.alpha, target_modules=names)
    inject_adapter_in_model(config, whisper)


def learnt(whisper: Any, config: AdapterConfig) -> Adapter:
    """All that was trained of `whisper`, a transformers one that peft put LoRA into.

    These are its LoRA pairs and every other parameter with a gradient, as copies; their names
    come out as the plain checkpoint's.
    """
    found = [*_pairs(whisper), *_changed(whisper)]
    tensors = {name: tensor.detach().clone() for name, tensor in found}
    document = json.loads(whisper.config.to_json_string(use_diff=False))
    document.pop("_name_or_path", None)  # a path of this machine is nobody else's business
    return Adapter(config, tensors, document | {"architectures": [ARCHITECTURE]})


def _pairs(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """LoRA as peft lays it out: a module with lora_A, lora_B and scaling, each by adapter name."""
    for name, module in model.named_modules():
        for key, down in getattr(module, "lora_A", {}).items():
            yield f"{name}.weight{DOWN}", down.weight
            yield f"{name}.weight{UP}", module.lora_B[key].weight * module.scaling[key]


def _changed(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        plain = name.replace(".base_layer.", ".")
        if parameter.requires_grad and ".lora_" not in name and plain != TIED:
            yield plain, parameter
