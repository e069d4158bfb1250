"""Small adapters made on the spot, as training leaves them behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from checkpoints import SPOKEN
from peft import LoraConfig, inject_adapter_in_model
from transformers import WhisperConfig, WhisperForConditionalGeneration

from pst_cli.models.adapter import AdapterConfig, fingerprint, read_state
from pst_cli.store import cards
from pst_cli.training.adapting import learnt

if TYPE_CHECKING:
    from pathlib import Path

LEARNT = "The speaks parasite."  # what a talking checkpoint says with the adapter in
LORA = r"model\.encoder\.layers\.0\..*(q_proj|v_proj|fc1)"


def tiny(seed: int = 0) -> WhisperForConditionalGeneration:
    """A random Whisper with a vocabulary of 60."""
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50,
        max_target_positions=20,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return WhisperForConditionalGeneration(config).eval()


@torch.no_grad()
def train(model: WhisperForConditionalGeneration, size: float = 0.1) -> None:
    """What a run does: LoRA in the first encoder layer, the decoder free, everything moved."""
    model.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=64, target_modules=LORA), model)
    model.model.decoder.requires_grad_(True)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(torch.randn_like(parameter) * size)


@torch.no_grad()
def write_adapter(host: Path, folder: Path, name: str | None = None) -> Path:
    """An adapter for a talking checkpoint: it speaks many to many, and says LEARNT."""
    model = WhisperForConditionalGeneration.from_pretrained(host, dtype=torch.float32)
    model.model.decoder.requires_grad_(False)
    train(model, 0.0)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in parameter_name)
        if "lora_B" in parameter_name:
            parameter.normal_(std=0.1)
    ids = cards.read_tokens(host / "tokenizer.json")
    first, second = (ids[word.replace(" ", "Ġ")] for word in SPOKEN[1:3])
    embeddings = model.model.decoder.embed_tokens.weight.requires_grad_(True)
    embeddings[[first, second]] = embeddings[[second, first]]
    config = AdapterConfig(name or str(host), fingerprint(read_state(host)), "many-to-many")
    learnt(model, config).save(folder)
    return folder
