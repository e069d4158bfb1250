"""A checkpoint in transformers' layout as openai-whisper's own model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (  # transformers' part of a tensor's name, openai-whisper's; in this order
    (".layers.", ".blocks."),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("embed_positions.weight", "positional_embedding"),
    ("embed_tokens", "token_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
)
DIMENSIONS = {  # openai-whisper's name: transformers'
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}


def load_openai(checkpoint: Path, device: str) -> Any:
    """openai-whisper's model with the weights in `checkpoint`, in float32."""
    from safetensors.torch import load_file
    from whisper.model import ModelDimensions, Whisper

    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    model = Whisper(ModelDimensions(**{ours: config[name] for ours, name in DIMENSIONS.items()}))
    state = {
        rename(name): tensor.float()
        for shard in sorted(checkpoint.glob("*.safetensors"))
        for name, tensor in load_file(shard).items()
        if name != "proj_out.weight"
    }
    model.load_state_dict(state)
    return model.to(torch.device(device)).eval()


def rename(name: str) -> str:
    """transformers' name of a tensor as openai-whisper has it."""
    name = name.removeprefix("model.")
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    return name
