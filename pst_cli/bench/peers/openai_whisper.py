"""openai-whisper, on weights that were saved in transformers' layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from pst_cli.bench.peers.peer import DECODE, Peer, Setting, timed_module
from pst_cli.bench.race import PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pst_cli.bench.clips import Task
    from pst_cli.bench.lanes import Said

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


class OpenAI(Peer):
    """openai-whisper's decode, the checkpoint's weights under its names."""

    name = "openai-whisper"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.half = setting.dtype == torch.float16
        self.includes = (
            f"decode() in {'float16' if self.half else 'float32'}, its encoder left out of ms/token"
        )
        self.model = load_openai(setting.checkpoint, setting.device)
        timed_module(self.model.encoder, self.watch, "encoder")

    def decode(self, tasks: Sequence[Task]) -> list[Said]:
        import whisper

        with self.watch.running("features"):
            mels = [
                whisper.log_mel_spectrogram(
                    whisper.pad_or_trim(torch.from_numpy(task.window.samples)),
                    self.model.dims.n_mels,
                )
                for task in tasks
            ]
            log_mel = torch.stack(mels).to(self.setting.device)
        one = tasks[0]  # its options are for a whole batch
        if any((task.language, task.task) != (one.language, one.task) for task in tasks):
            raise PeerError("decodes one source language a batch: --from, or --batch-size 1")
        options = whisper.DecodingOptions(
            language=one.language or "en", task=one.task or "transcribe", fp16=self.half
        )
        with self.watch.running(DECODE):
            results = whisper.decode(self.model, log_mel, options)
        return [self.said(result.tokens, result.text) for result in results]
