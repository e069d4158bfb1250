"""The host as training sees it: transformers' own modules, and teacher-forced passes over them.

The passes are ours because training needs what transformers' forward does not offer: sound shorter
than 30 s, a mask over what is heard, and the keys and values that KVSPN lives on. The parameters
keep transformers' names, so that peft finds its layers and a checkpoint is an ordinary one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pst_cli.models.attention import attend
from pst_cli.models.decoder import Decoder

if TYPE_CHECKING:
    from pst_cli.models.memory import Pair
    from pst_cli.models.sharing import Sharing


ATTENTION = "pst"
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a decoder attends to; `mask`, (rows, frames), is True where there is anything.

    With `sharing`, `states` holds each sound once, (sounds, frames, d_model), however many rows
    attend to it: keys and values are worked out once for all of them.
    """

    states: Tensor  # (rows, frames, d_model)
    mask: Tensor | None = None
    sharing: Sharing | None = None

    def seen(self) -> Tensor | None:
        """The mask as attention takes it, (rows, 1, 1, frames)."""
        return None if self.mask is None else self.mask[:, None, None]

    def to(self, device: torch.device) -> Heard:
        """The same on `device`, in float32, which is what training computes in."""
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        sharing = self.sharing and self.sharing.to(device)
        return Heard(self.states.to(device, torch.float32, non_blocking=True), mask, sharing)

    def attended(self, attention: Any, states: Tensor, cache: Any = None) -> Tensor:
        """Cross-attention of `states`, (rows, seq, d_model), by a transformers WhisperAttention.

        With a cache, rows share nothing.
        """
        sharing = self.sharing
        asked = sharing.joined(states) if sharing else states
        found: Tensor = attention(asked, self.states, cache, attention_mask=self.seen())[0]
        return sharing.parted(found) if sharing else found


@dataclass(frozen=True, slots=True)
class Forced:
    """One pass over whole rows of given tokens; the memory is there where it was asked for."""

    states: Tensor  # (rows, seq, d_model), after the last norm
    after: tuple[Tensor, ...]  # states after each layer, before that norm
    keys: Tensor | None = None  # (rows, heads, layers, seq, head_dim)
    values: Tensor | None = None  # as keys
    crosses: tuple[Pair, ...] = ()  # of each layer, each (rows, heads, frames, head_dim)


class ForcedHost(nn.Module):
    """A Whisper checkpoint to be trained, or to learn from."""

    def __init__(self, whisper: Any) -> None:
        """Take over a transformers WhisperForConditionalGeneration."""
        super().__init__()
        self.whisper = whisper
        whisper.set_attn_implementation(_registered())

    @property
    def config(self) -> Any:
        """Its transformers WhisperConfig."""
        return self.whisper.config

    def hear(self, log_mel: Tensor) -> Tensor:
        """Encoder states, (rows, frames / 2, d_model), of (rows, mels, frames), up to 30 s."""
        encoder = self.whisper.model.encoder
        states = functional.gelu(encoder.conv1(log_mel))
        states = functional.gelu(encoder.conv2(states)).transpose(1, 2)
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        for layer in encoder.layers:
            states = layer(states, None)
        return encoder.layer_norm(states)  # type: ignore[no-any-return]

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings at positions 0, 1, ...: (rows, seq) -> (rows, seq, d_model)."""
        decoder = self.whisper.model.decoder
        positions: Tensor = decoder.embed_positions.weight[: tokens.shape[1]]
        return positions + decoder.embed_tokens(tokens)  # type: ignore[no-any-return]

    def decode(self, tokens: Tensor, heard: Heard, *, remember: bool = False) -> Forced:
        """One pass over `tokens`, (rows, seq); `remember` keeps the memory that drafters read."""
        decoder, cache = self.whisper.model.decoder, _memory() if remember else None
        states = self.embed(tokens)
        after = []
        for layer in decoder.layers:
            states = _through(layer, states, heard, cache)
            after.append(states)
        states = decoder.layer_norm(states)
        if cache is None:
            return Forced(states, tuple(after))
        own, cross = cache.self_attention_cache.layers, cache.cross_attention_cache.layers
        return Forced(
            states,
            tuple(after),
            keys=torch.stack([layer.keys for layer in own], dim=2),
            values=torch.stack([layer.values for layer in own], dim=2),
            crosses=tuple((layer.keys, layer.values) for layer in cross),
        )

    def lean(self) -> Decoder:
        """The decoder as inference runs it, on copies of the weights as they are now."""
        config = self.config
        state = self.whisper.model.decoder.state_dict()
        return Decoder(state, config.decoder_layers, config.decoder_attention_heads)

    @property
    def head(self) -> Tensor:
        """The output head, which is the tokens' embedding too: (vocabulary, d_model)."""
        weight: Tensor = self.whisper.model.decoder.embed_tokens.weight
        return weight

    def logits(self, states: Tensor, tokens: Tensor | slice = ALL) -> Tensor:
        """Scores of `tokens`, ids or all of them: (..., d_model) -> (..., tokens)."""
        return functional.linear(states, self.head[tokens])


def _through(layer: Any, states: Tensor, heard: Heard, cache: Any) -> Tensor:
    """One decoder layer, as transformers' own forward does it, but for rows that share a sound.

    Without dropout: every published Whisper has it at 0.
    """
    asked = layer.self_attn_layer_norm(states)
    states = states + layer.self_attn(asked, None, cache)[0]  # transformers 5.24 renamed it
    asked = layer.encoder_attn_layer_norm(states)
    states = states + heard.attended(layer.encoder_attn, asked, cache)
    asked = layer.final_layer_norm(states)
    return states + layer.fc2(layer.activation_fn(layer.fc1(asked)))  # type: ignore[no-any-return]


def _registered() -> str:
    """The name by which transformers knows `_attention`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)
    return ATTENTION


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers asks for it; the queries are scaled already.

    The decoder's is `attend`'s, which is faster on a processor; the encoder's stays fused, for its
    scores would fill the memory.
    """
    if not module.is_decoder:
        fused = functional.scaled_dot_product_attention
        found = fused(query, key, value, attention_mask, scale=scaling)
        return found.transpose(1, 2).contiguous(), None
    if attention_mask is None and module.is_causal:
        whole = query.new_ones(query.shape[2], key.shape[2], dtype=torch.bool)
        attention_mask = whole.tril()
    found = attend(query, key, value, attention_mask, scaling)
    return found.transpose(1, 2).contiguous(), None


def _memory() -> Any:
    from transformers import DynamicCache, EncoderDecoderCache

    return EncoderDecoderCache(DynamicCache(), DynamicCache())


class TextEncoder(nn.Module):
    """Reads the source text in place of the sound, for training only: so a decoder learns MT too.

    Le et al. (arXiv 2508.11189), section 2: its layers begin as the self-attention and feed-forward
    of the decoder's first ones. What it gives goes through a copy of the sound encoder's last norm,
    which is what the decoder's cross-attention is used to.
    """

    def __init__(self, host: ForcedHost, layers: int) -> None:
        super().__init__()
        from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

        model, config = host.whisper.model, copy.deepcopy(host.config)
        config.encoder_attention_heads = config.decoder_attention_heads
        config.encoder_ffn_dim = config.decoder_ffn_dim
        self.layers = nn.ModuleList(WhisperEncoderLayer(config) for _ in range(layers))
        for layer, origin in zip(self.layers, model.decoder.layers, strict=False):
            # What peft put LoRA beside is called .base_layer.
            known = {n.replace(".base_layer.", "."): one for n, one in origin.state_dict().items()}
            layer.load_state_dict({name: known[name] for name in layer.state_dict()})
        # The sound encoder's may be frozen; its copy learns.
        self.norm = copy.deepcopy(model.encoder.layer_norm).requires_grad_(True)

    def forward(self, embedded: Tensor, mask: Tensor) -> Heard:
        """What the decoder attends to of `embedded`, (rows, words, d_model)."""
        states, seen = embedded, mask[:, None, None]
        for layer in self.layers:
            states = layer(states, seen)
        return Heard(self.norm(states), mask)
