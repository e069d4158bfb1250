"""A small Marian model made on the spot: it says one sentence, whatever it reads."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pathlib import Path

END, UNKNOWN, PAD = 0, 1, 2
WORDS = [f"w{number}" for number in range(20)]
LONGEST = 24  # tokens
WIDTH = 16


def write_translator(directory: Path, sentence: str = "") -> Path:
    """A translator in transformers' layout: random, or one that says `sentence`."""
    said = sentence.split()
    tokenizer(said).save_pretrained(directory)
    torch.manual_seed(0)
    model = MarianMTModel(
        MarianConfig(
            vocab_size=3 + len(WORDS) + len(said),
            d_model=WIDTH,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=WIDTH,
            decoder_ffn_dim=WIDTH,
            max_position_embeddings=LONGEST,
            scale_embedding=False,
            tie_word_embeddings=False,
            init_std=1.0,
            pad_token_id=PAD,
            eos_token_id=END,
            forced_eos_token_id=END,
            decoder_start_token_id=PAD,
        )
    )
    if said:
        teach(model, [PAD, *range(3 + len(WORDS), 3 + len(WORDS) + len(said)), END])
    model.save_pretrained(directory)
    return directory


def tokenizer(more: list[str]) -> PreTrainedTokenizerFast:
    words = ["</s>", "<unk>", "<pad>", *WORDS, *more]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


@torch.no_grad()
def teach(model: MarianMTModel, tokens: list[int]) -> None:
    """Let each of `tokens` be followed by the next: no block of the decoder adds anything."""
    decoder = model.model.decoder
    for layer in decoder.layers:
        for part in (layer.self_attn.out_proj, layer.encoder_attn.out_proj, layer.fc2):
            part.weight.zero_()
            part.bias.zero_()
    model.lm_head.weight.zero_()
    for place, (token, following) in enumerate(itertools.pairwise(tokens)):
        decoder.embed_tokens.weight[token] = 0.0
        decoder.embed_tokens.weight[token, place] = 100.0
        model.lm_head.weight[following, place] = 1.0
