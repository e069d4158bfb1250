"""KVSPN: a small network that lives on the host decoder's key-value memory and drafts its tokens.

Le et al., "Novel Parasitic Dual-Scale Modeling for Efficient and Accurate Multilingual Speech
Translation", Interspeech 2025 (arXiv 2508.11189). The host's layers fall into as many contiguous
groups as KVSPN has blocks. A block has queries only: its keys and values are the host's own, of all
layers of its group, laid end to end. To draft the token after y[i], it embeds y[i] itself and reads
the host's memory at positions < i: the memory lags one token, for the host has not been fed y[i].

Beyond the paper, each a field of the config whose default is the paper's: several drafted tokens
(the block's last state is threaded into the next step, and with `feed = "both"` the host's into
the first), cross-attention on the host's own cross-attention memory, draft vocabularies, and blocks
that each stand in for one layer of the host (`memory = "layer"`): such a block has keys and values
for the tokens it drafts, and keeps them in the slots that its layer has yet to fill. `feed =
"state"` makes the control: Medusa heads over the same blocks, which see the host's last hidden
state and never one another's tokens.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from pst_cli.errors import ModelError
from pst_cli.models.compiled import CompiledStack, compiles, stacked
from pst_cli.models.decoder import Decoder, attend_window, merge_heads, split_heads
from pst_cli.models.kvspn_config import CONFIG, KIND, KVSPNConfig, read_config
from pst_cli.models.linear import freeze_linears
from pst_cli.models.memory import Filled, Memory, Pair, Read
from pst_cli.models.products import approximate, rounded
from pst_cli.models.tensors import load_tensors, write_tensors
from pst_cli.models.vocabularies import Vocabularies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pst_cli.models.cache import KVCache
    from pst_cli.models.compiled import Part
    from pst_cli.models.decoder import Step
    from pst_cli.models.linear import Affine, Norm

WEIGHTS, SCALE = "model.safetensors", ".scale"
FFN = 4  # times d_model; the inner width of the feed-forward, as in Whisper


class Block(nn.Module):
    """Queries over the host's memory, cross-attention to the sound, feed-forward."""

    def __init__(self, config: KVSPNConfig) -> None:
        super().__init__()
        size = config.d_model
        self.heads, self.own = config.heads, config.cross == "own"
        self.query_norm = nn.LayerNorm(size) if config.normed else nn.Identity()
        self.query = nn.Linear(size, 3 * size if config.fills else size)  # and keys, and values
        self.out = nn.Linear(size, size)
        self.norm = nn.Identity() if config.fills else nn.LayerNorm(size)
        self.cross_norm = nn.LayerNorm(size)
        self.cross_query = nn.Linear(size, size)
        self.cross_kv = nn.Linear(size, 2 * size) if self.own else None
        self.cross_out = nn.Linear(size, size)
        self.ffn_norm = nn.LayerNorm(size)
        self.ffn_in = nn.Linear(size, FFN * size)
        self.ffn_out = nn.Linear(FFN * size, size)

    def parts(self) -> list[Part]:
        """As `compiled.Weights` has them, where it does all that a layer of the host's does."""
        assert isinstance(self.query_norm, nn.LayerNorm)
        remembered: list[Part] = [self.query_norm, self.query, self.out]
        heard: list[Part] = [self.cross_norm, self.cross_query, self.cross_out]
        return [*remembered, *heard, self.ffn_norm, self.ffn_in, self.ffn_out]

    def hear(self, encoded: Tensor) -> Pair:
        """Own cross-attention keys and values, each (rows, heads, frames, head_dim)."""
        assert self.cross_kv is not None
        rows, frames, _ = encoded.shape
        fused: Tensor = self.cross_kv(encoded)
        keys, values = fused.view(rows, frames, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return keys.contiguous(), values.contiguous()

    def forward(
        self, states: Tensor, memory: Memory, cross: Pair, heard: Tensor | None = None
    ) -> Tensor:
        """States (rows, seq, d_model) after the block.

        `memory` is the host's, of this block's layers; `cross` what it hears: keys and values, each
        (windows, heads, frames, head_dim), of which `heard` masks the padding, if there is any.
        """
        fused = self.query(self.query_norm(states))
        split = fused.view(*states.shape[:2], -1, self.heads, states.shape[-1] // self.heads)
        query, *own = split.unbind(2)
        states = states + self.norm(self.out(memory(query, *own).flatten(2)))
        query = split_heads(self.cross_query(self.cross_norm(states)), self.heads)
        states = states + self.cross_out(merge_heads(attend_window(query, *cross, heard)))
        hidden = functional.gelu(self.ffn_in(self.ffn_norm(states)))
        return states + self.ffn_out(hidden)  # type: ignore[no-any-return]


class KVSPN(nn.Module):
    """The drafting network; embedding, positions and output head are the host's, not its own."""

    def __init__(self, config: KVSPNConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.groups))
        self.final_norm = nn.LayerNorm(config.d_model)
        self.thread = nn.Linear(config.d_model, config.d_model) if config.threaded else None
        self.compiled: CompiledStack | None = None  # what drafts, once it is laid out for that
        if self.thread is not None:
            nn.init.zeros_(self.thread.weight)
            nn.init.zeros_(self.thread.bias)
        self.draft_tokens: Tensor  # ids of all `vocabularies`, end to end, each ascending
        whole = sum(size for _, size in config.vocabularies)
        self.register_buffer("draft_tokens", torch.zeros(whole, dtype=torch.int32))

    def enter(self, embedded: Tensor, previous: Tensor | None) -> Tensor:
        """What the first block is given, (rows, seq, d_model).

        `embedded` is the host's embedding of the last token at its position; `previous` the state
        of the step before: before the first, that of the host which the token was chosen by, or
        None where the network is fed tokens alone.
        """
        if self.config.feed == "state":
            assert previous is not None
            return previous
        if previous is None or self.thread is None:
            return embedded
        return embedded + self.thread(previous)  # type: ignore[no-any-return]

    def forward(
        self,
        states: Tensor,
        memories: Sequence[Memory],
        crosses: Sequence[Pair],
        heard: Tensor | None = None,
    ) -> Tensor:
        """States after the last block and its norm; a memory and a cross memory for each block."""
        for block, memory, cross in zip(self.blocks, memories, crosses, strict=True):
            states = block(states, memory, cross, heard)
        return self.final_norm(states)  # type: ignore[no-any-return]

    def memories(self, cache: KVCache, step: Step) -> list[Memory]:
        """Each block's view of the host's memory for the tokens of `step`, one a row; no copies.

        Where blocks fill it, it holds the draft's tokens before that one too.
        """
        blocks = range(self.config.groups)
        if self.config.fills:
            return [Filled(cache, self.config.layer(block), step) for block in blocks]
        slots = torch.arange(cache.slots, device=cache.keys.device)
        visible = slots < step.of(slots)  # (rows or 1, slots)
        found: list[Memory] = []
        for block in blocks:
            first, last = self.config.group(block)
            mask = visible.repeat(1, last - first)[:, None, None]
            found.append(Read(cache.group(first, last), mask))
        return found

    def hear(self, encoded: Tensor) -> list[Pair] | None:
        """Each block's own view of `encoded`, (windows, frames, d_model); None if it has none."""
        if self.config.cross == "host":
            return None
        return [block.hear(encoded) for block in self._blocks()]

    def overhear(self, cache: KVCache) -> list[Pair]:
        """The host's cross-attention memory, of the layer that each block is near; no copy."""
        layers = [self.config.layer(block) for block in range(self.config.groups)]
        return [(cache.cross_keys[layer], cache.cross_values[layer]) for layer in layers]

    @property
    def vocabularies(self) -> Vocabularies:
        """What it drafts after which prompts."""
        return Vocabularies(self.config.vocabularies, self.draft_tokens)

    def go_on_from(self, earlier: KVSPN) -> None:
        """Begin with what `earlier` has learnt, be it of another host or with other vocabularies.

        Raises ModelError where it has another form.
        """
        known = earlier.state_dict()
        known["draft_tokens"] = self.draft_tokens
        try:
            self.load_state_dict(known)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[1].strip()
            raise ModelError(f"no KVSPN of this form begins as that one: {reason}") from error

    def start_from(self, decoder: Decoder) -> None:
        """Begin as copies of the host's own layers; see `KVSPNConfig.layer`."""
        for index, block in enumerate(self._blocks()):
            host = decoder.layers[self.config.layer(index)]
            _copy(block.query, host.self_qkv)
            _copy(block.out, host.self_out)
            if isinstance(block.query_norm, nn.LayerNorm):
                _copy(block.query_norm, host.self_norm)
            _copy(block.cross_norm, host.cross_norm)
            _copy(block.cross_query, host.cross_q)
            _copy(block.cross_out, host.cross_out)
            _copy(block.ffn_norm, host.ffn_norm)
            _copy(block.ffn_in, host.ffn_in)
            _copy(block.ffn_out, host.ffn_out)
            if block.cross_kv is not None:
                _copy(block.cross_kv, host.cross_kv)
        _copy(self.final_norm, decoder.norm)

    def freeze(self) -> None:
        """Lay it out for drafting, and that alone: weights in 8 bits.

        It is compiled where its blocks do all that a layer of the host's does, and no more.
        """
        config = self.config
        alike = config.fills and config.normed and config.cross == "host" and config.feed == "token"
        if alike and compiles(self.final_norm.weight):
            parts, norm = [block.parts() for block in self._blocks()], self.final_norm
            layers = [config.layer(index) for index in range(len(parts))]
            self.compiled = CompiledStack(lambda: stacked(parts, layers, norm))
        freeze_linears(self, approximate)

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def save(self, folder: Path) -> None:
        """Write the config and, as safetensors, the weights; OutputError where they cannot be.

        Products are rounded to 8 bits, as they are where it is used on a processor: what it drafts
        is verified anyway.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(_small(self.state_dict()), folder / WEIGHTS)
        document = {"kind": KIND, **asdict(self.config)}
        (folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> KVSPN:
        """Read what `save` wrote; ModelError where it is not a KVSPN or is damaged."""
        config = read_config(folder)
        if config is None:
            raise ModelError(f"{folder} holds no KVSPN")
        network = cls(config)
        try:
            network.load_state_dict(_whole(load_tensors(folder / WEIGHTS)))
        except (OSError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{folder} does not load as a KVSPN: {reason}") from error
        return network.eval().requires_grad_(False)


def _small(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every matrix NAME in 8 bits, beside it NAME.scale, (outputs,); vectors in float32."""
    found = dict(state)
    for name, tensor in state.items():
        if tensor.ndim == 2:
            found[name], found[name + SCALE] = rounded(tensor)
    return found


def _whole(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `_small` was given."""
    scales = {name: state.pop(name) for name in list(state) if name.endswith(SCALE)}
    for name, scale in scales.items():
        matrix = name.removesuffix(SCALE)
        state[matrix] = state[matrix].float() * scale[:, None]
    return state


@torch.no_grad()
def _copy(module: nn.Linear | nn.LayerNorm, host: Affine | Norm) -> None:
    """Make `module` the host's, or the first outputs of it."""
    assert host.bias is not None
    module.weight.copy_(host.weight[: len(module.weight)])
    module.bias.copy_(host.bias[: len(module.weight)])
