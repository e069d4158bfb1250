"""Small random Whispers whose tokenizers have real merges, made on the spot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import WhisperConfig, WhisperForConditionalGeneration

from pst_cli.store import cards
from pst_cli.store.whispermap import Shape

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = (
    "And so my fellow Americans, ask not what your country can do for you.",
    "Ask what you can do for your country, and what the country asks of you.",
    "Die Sitzung ist eröffnet, und die Kommission wird die Fragen beantworten.",
    "La sesión queda abierta; los diputados preguntan por la situación.",
    "La séance est ouverte, les députés posent leurs questions à la Commission.",
    "La seduta è aperta e la Commissione risponde alle domande dei deputati.",
    "会议开始了，委员会回答代表们的问题。",
)
TEXT_TOKENS = 460  # 256 bytes, and what merges make
TIMESTAMPS = 1_501
LANGUAGES = ("en", "zh", "de", "es", "fr", "it")
TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
LONGEST = 64  # tokens, so that a random model falls silent soon


def tokenizer() -> Tokenizer:
    """Byte-level BPE learnt from TEXTS, with Whisper's special tokens after it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([f" {text}" for text in TEXTS], trainer)
    assert made.get_vocab_size() == TEXT_TOKENS
    special = ["endoftext", "startoftranscript", *LANGUAGES, *TASKS]
    made.add_special_tokens([f"<|{name}|>" for name in special])
    made.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(TIMESTAMPS)])
    made.post_processor = processors.TemplateProcessing(
        single="<|startoftranscript|> $0 <|endoftext|>",
        special_tokens=[
            (token, made.token_to_id(token)) for token in ("<|startoftranscript|>", "<|endoftext|>")
        ],
    )
    return made


def write_prunable(directory: Path, *, encoder_layers: int = 3, decoder_layers: int = 4) -> Path:
    """A whole checkpoint in transformers' layout, loud enough for its greedy choices to vary."""
    origin = directory / "origin"
    origin.mkdir(parents=True)
    (origin / "config.json").write_text('{"suppress_ids": [1, 2, 300]}')
    made = tokenizer()
    made.save(str(origin / "tokenizer.json"))
    shape = Shape(
        vocab=made.get_vocab_size(),
        width=16,
        mels=80,
        source_positions=1500,
        target_positions=LONGEST,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        encoder_heads=2,
        decoder_heads=2,
        encoder_ffn=32,
        decoder_ffn=32,
    )
    cards.write(origin, directory, shape, "float16")
    torch.manual_seed(0)
    config = WhisperConfig(**json.loads((directory / "config.json").read_text()), init_std=0.6)
    model = WhisperForConditionalGeneration(config).half()
    model.save_pretrained(directory / "saved")
    (directory / "saved" / "model.safetensors").rename(directory / "model.safetensors")
    return directory
