"""An adapter: what training changed in a host, kept small and tied to that host by its hash."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pst_cli.errors import ModelError
from pst_cli.models.compact import DOWN, UP, as_fine, compact, restored
from pst_cli.models.pruning.layers import SIDES, keep_heads, keep_layers
from pst_cli.models.tensors import load_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from pathlib import Path

CONFIG, ADAPTER = "config.json", "adapter.safetensors"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
DIGITS = 12  # of a hash, where people read it
EMBEDDING = "model.decoder.embed_tokens.weight"
TIED = "proj_out.weight"  # the same tensor under another name


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Sha256, in hex, of the names, shapes and values of `state`, named as transformers does.

    Values count as float16, so that a float32 copy of published float16 weights is the same host.
    Each tensor is hashed by itself, since hashing waits for no other thread: 0.1 s for base.
    """
    names = sorted(name for name in state if name != TIED)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(_digest, (state[name] for name in names))
        lines = [f"{name} {digest}\n" for name, digest in zip(names, digests, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().to("cpu", torch.float16).reshape(-1).numpy()
    return f"{list(tensor.shape)} {hashlib.sha256(values.data).hexdigest()}"


def read_state(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the checkpoint in `folder`, in the file's own numbers.

    Raises ModelError where there is none or it is damaged.
    """
    names = [WEIGHTS]
    if not (folder / WEIGHTS).is_file() and (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
    state: dict[str, Tensor] = {}
    for name in names:
        state |= _tensors(folder / name)
    state.pop(TIED, None)
    return state


def write_state(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write `state` as the one safetensors file of a checkpoint; OutputError where it cannot be."""
    write_tensors(
        {name: tensor for name, tensor in state.items() if name != TIED}, folder / WEIGHTS
    )


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The host that an adapter belongs to, and what the two together can do."""

    host: str  # a name to resolve; one that begins with a dot is relative to the adapter
    sha256: str  # the host's fingerprint
    ability: str | None = None  # as config.json declares it; None: whatever the host can do
    context: str | None = None  # as config.json declares it; None: whatever the host was taught
    layers: Mapping[str, Sequence[int]] = field(default_factory=dict)  # that stay, by side

    def generation(self, host: Mapping[str, Any]) -> dict[str, Any]:
        """The merged model's generation_config.json, of its host's."""
        kept = self.layers.get("decoder")
        return keep_heads(host, kept) if kept else dict(host)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Tensors to merge into a host: whole ones under their own names, and LoRA pairs.

    A pair is NAME.lora_A, (rank, inputs), and NAME.lora_B, (outputs, rank), for the parameter
    NAME; the scale is already in lora_B.
    """

    config: AdapterConfig
    tensors: Mapping[str, Tensor]
    model: Mapping[str, Any]  # config.json of the merged model

    @property
    def fingerprint(self) -> str:
        """That of the merged host: of the host's and of what is merged into it.

        The merged weights themselves would not do: a sum's last bit depends on the processor.
        """
        both = f"{self.config.sha256} {fingerprint(self.tensors)}"
        return hashlib.sha256(both.encode()).hexdigest()

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """That of the merged host, and of its host where the decoder is that one's still."""
        spared = all(name.startswith("model.encoder.") for name in self.tensors)
        return self.lineage if spared else self.lineage[:1]

    @property
    def lineage(self) -> tuple[str, ...]:
        """Fingerprints of the merged host, and of the one that it was adapted from."""
        return self.fingerprint, self.config.sha256

    def merged(self, host: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The weights of the host in the directory `host`, in `dtype` or their own, with this in.

        In their own a float32 copy of published float16 weights gives the numbers that those give.
        Raises ModelError where it is another host than the one that this belongs to.
        """
        beneath = self.beneath(self.whole(host))
        state = {name: tensor.to(dtype or tensor.dtype) for name, tensor in beneath.items()}
        self.apply(state)
        if dtype is None:
            state = {name: as_fine(tensor, beneath[name]) for name, tensor in state.items()}
        return state

    def whole(self, host: Path) -> dict[str, Tensor]:
        """The weights of the host in the directory `host`; ModelError as `merged` raises it."""
        state = read_state(host)
        found = fingerprint(state)
        if found != self.config.sha256:
            named, wanted = self.config.host, self.config.sha256
            raise ModelError(
                f"wrong host for the adapter: it belongs to {named} ({wanted[:DIGITS]}), "
                f"and {host} holds other weights ({found[:DIGITS]})",
                hint=f"fetch its own with `pst download {named} --force`, or write where they are "
                f"into the adapter's {CONFIG}",
            )
        return state

    def beneath(self, host: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole weights `host` without the layers that the merged model does without.

        Those stay, in their order, that the adapter names, or else as many of the first.
        """
        for side in SIDES:
            count = self.model.get(f"{side}_layers")
            if count is not None:
                host = keep_layers(host, side, self.config.layers.get(side, range(count)))
        return dict(host)

    def apply(self, state: MutableMapping[str, Tensor]) -> None:
        """Merge into `state`, a host's, in float32; every tensor keeps its numbers' type.

        Raises ModelError, and changes nothing, where names or shapes do not fit.
        """
        pairs = [name.removesuffix(DOWN) for name in self.tensors if name.endswith(DOWN)]
        whole = [name for name in self.tensors if not name.endswith((DOWN, UP))]
        for name in (*whole, *pairs):
            self._check(name, state.get(name))
        for name in whole:
            state[name] = self.tensors[name].to(state[name])
        if TIED in state:
            state[TIED] = state[EMBEDDING]
        for name in pairs:
            old = state[name]
            down, up = (self.tensors[name + end].to(old.device).float() for end in (DOWN, UP))
            state[name] = (old.float() + up @ down).to(old.dtype)

    def upon(self, earlier: Adapter, host: Path) -> Adapter:
        """What was learnt on top of `earlier`, and that itself, as one adapter of `host`.

        Whatever differs from the host becomes a whole tensor. Raises ModelError as `merged` does.
        """
        before = earlier.beneath(read_state(host))
        after = earlier.merged(host, torch.float32)
        self.apply(after)
        changed = {
            name: tensor
            for name, tensor in after.items()
            if not torch.equal(tensor, before[name].float())
        }
        return replace(self, tensors=changed)

    def _check(self, name: str, host: Tensor | None) -> None:
        if name in self.tensors:
            shape = tuple(self.tensors[name].shape)
        else:
            up, down = self.tensors.get(name + UP), self.tensors[name + DOWN]
            fits = up is not None and up.ndim == down.ndim == 2 and up.shape[1] == down.shape[0]
            shape = (len(up), down.shape[1]) if fits and up is not None else ()
        if host is None or tuple(host.shape) != shape:
            theirs = "has none" if host is None else f"has {tuple(host.shape)}"
            raise ModelError(
                f"the adapter does not fit its host: {name} is {shape}, the host {theirs}",
                hint="name the host that it was trained on",
            )

    def save(self, folder: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write both files; config.json comes last, and without it there is no adapter.

        In int8 its matrices are, at half the size of float16; a LoRA pair hardly changes by it.
        Raises OutputError where the tensors cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        eight = dtype == torch.int8
        plain = {} if eight else {name: one.to("cpu", dtype) for name, one in self.tensors.items()}
        write_tensors(compact(self.tensors) if eight else plain, folder / ADAPTER)
        text = json.dumps(self._document(), indent=2, ensure_ascii=False)
        (folder / CONFIG).write_text(text + "\n", "utf-8")

    def _document(self) -> dict[str, Any]:
        link = asdict(self.config)
        told = {name: link.pop(name) for name in ("ability", "context")}
        own = {name: word for name, word in told.items() if word}
        if not link["layers"]:
            del link["layers"]
        return {**self.model, "pst": {**self.model.get("pst", {}), **own, "adapter": link}}

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """Read what `save` wrote; ModelError where it is no adapter or is damaged."""
        config = read_adapter_config(folder)
        if config is None:
            raise ModelError(f"{folder} holds no adapter")
        model = read_json(folder / CONFIG)
        del model["pst"]["adapter"]
        try:
            return cls(config, restored(_tensors(folder / ADAPTER)), model)
        except (KeyError, RuntimeError) as error:
            raise ModelError(
                f"{folder / ADAPTER} does not load: a scale is amiss: {error}"
            ) from error

    @classmethod
    def between(
        cls,
        state: Mapping[str, Tensor],
        host: Mapping[str, Tensor],
        model: Mapping[str, Any],
        config: AdapterConfig,
    ) -> Adapter:
        """What makes the whole weights `state`, whose config.json is `model`, of those of `host`.

        Raises ModelError where tensors of the one have no like in the other.
        """
        changed: dict[str, Tensor] = {}
        adapter = cls(config, changed, model)
        beneath = adapter.beneath(host)
        for name, tensor in state.items():
            like = beneath.get(name)
            if like is None or like.shape != tensor.shape:
                raise ModelError(
                    f"no adapter of {config.host} makes it: {name} is {tuple(tensor.shape)}",
                    hint="only layers may be fewer, and numbers other ones",
                )
            if not torch.equal(tensor.to(like), like):
                changed[name] = tensor
        return adapter


def read_adapter_config(folder: Path) -> AdapterConfig | None:
    """The host that the adapter in `folder` names; None where there is no adapter.

    Raises ModelError where there is one that this pst does not understand.
    """
    try:
        own = json.loads((folder / CONFIG).read_bytes())["pst"]
        link = own["adapter"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        if (folder / ADAPTER).is_file() and not (folder / WEIGHTS).is_file():
            raise ModelError(f"{folder / CONFIG} does not name the adapter's host") from error
        return None
    try:
        return AdapterConfig(**link, ability=own.get("ability"), context=own.get("context"))
    except TypeError as error:
        raise ModelError(f"{folder} holds an adapter of another pst") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; ModelError where there is none."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(path)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path} does not load: {reason}") from error
