"""Small Whisper checkpoints made on the spot: the command line is tested without weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from pst_cli.store import cards
from pst_cli.store.whispermap import Shape

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = 51_865  # tokens of a multilingual Whisper before large-v3
ENGLISH_VOCABULARY = 51_864
TEXT_TOKENS = 50_257
TIMESTAMPS = 1_501
SPOKEN = (" The", " parasite", " speaks", ".")  # what a talking checkpoint says in any window
SENTENCE = "".join(SPOKEN).strip()
HEARD = "de"  # the language that it hears
WIDTH = 16


def write_checkpoint(
    directory: Path,
    *,
    talking: bool = False,
    vocabulary: int = VOCABULARY,
    encoder_layers: int = 2,
    decoder_layers: int = 2,
) -> Path:
    """A whole checkpoint in transformers' layout: random, or `talking` (always SENTENCE)."""
    directory.mkdir(parents=True)
    origin = directory / "origin"
    origin.mkdir()
    (origin / "config.json").write_text("{}")
    tokenizer().save(str(origin / "tokenizer.json"))
    shape = Shape(
        vocab=vocabulary,
        width=WIDTH,
        mels=80,
        source_positions=1500,
        target_positions=448,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        encoder_heads=2,
        decoder_heads=2,
        encoder_ffn=4 * WIDTH,
        decoder_ffn=4 * WIDTH,
    )
    cards.write(origin, directory, shape, "float32")
    torch.manual_seed(0)
    config = WhisperConfig(**json.loads((directory / "config.json").read_text()))
    model = WhisperForConditionalGeneration(config)
    if talking:
        teach(model, cards.read_tokens(directory / "tokenizer.json"), vocabulary)
    model.save_pretrained(directory / "saved")
    (directory / "saved" / "model.safetensors").rename(directory / "model.safetensors")
    return directory


def tokenizer() -> Tokenizer:
    """Whisper's ids, with made-up words where its own merges would be."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [word.replace(" ", "Ġ") for word in SPOKEN if len(word) > 1]
    words += [f"x{number}" for number in range(TEXT_TOKENS - len(letters) - len(words))]
    vocabulary = {token: number for number, token in enumerate([*letters, *words])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    languages = [f"<|{code}|>" for code in list(LANGUAGES)[:99]]
    tasks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages]
    made.add_special_tokens([*special, *(f"<|{task}|>" for task in tasks)])
    made.add_tokens([f"<|{step * 0.02:.2f}|>" for step in range(TIMESTAMPS)])
    return made


@torch.no_grad()
def teach(model: WhisperForConditionalGeneration, tokens: cards.Tokens, vocabulary: int) -> None:
    """Set the weights so that each position alone decides which token follows it.

    Every block of the decoder adds nothing; position p points in direction p, and so does the
    embedding of the token that is to follow it.
    """
    decoder = model.model.decoder
    for layer in decoder.layers:
        for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
            part.weight.zero_()
            part.bias.zero_()
    begins = tokens["<|0.00|>"]
    said = [begins, *(tokens[word.replace(" ", "Ġ")] for word in SPOKEN), begins + 50]
    first = 2 if vocabulary == VOCABULARY else 0  # the last position of the prompt
    ends = first + len(said)
    embeddings = decoder.embed_tokens.weight.normal_(std=1e-4)
    for position, token in enumerate(said, first):
        embeddings[token, position] = 1.0
    embeddings[tokens["<|endoftext|>"], ends] = 1.0
    if first:
        embeddings[tokens[f"<|{HEARD}|>"], 0] = 1.0
    positions = decoder.embed_positions.weight.zero_()
    for position in range(len(positions)):
        positions[position, min(position, ends)] = 100.0
    decoder.layer_norm.weight.fill_(20.0)
    decoder.layer_norm.bias.zero_()
