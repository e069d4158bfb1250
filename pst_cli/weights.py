"""Where a model's weights lie: a whole checkpoint, or an adapter and the host that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pst_cli.errors import ModelError, PstError
from pst_cli.models.adapter import (
    CONFIG,
    Adapter,
    fingerprint,
    read_adapter_config,
    read_json,
    read_state,
)
from pst_cli.models.host import Host, ability
from pst_cli.models.products import approximate, exact
from pst_cli.models.whisper import GENERATION
from pst_cli.store.names import LocalName, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from torch import Tensor

    from pst_cli.models.prompts import Ability


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on this disk; it is an adapter where its directory is not its host's."""

    path: Path  # the directory that was named; drafters lie in it, beside the weights
    host: Path  # the directory of the whole weights

    @property
    def adapter(self) -> Path | None:
        return None if self.path == self.host else self.path

    @property
    def ability(self) -> Ability:
        return ability(self.path, self.host)

    @property
    def fingerprint(self) -> str:
        """As `Host.fingerprint`; the weights are read for it."""
        return self.fingerprints[0]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Its own first, last that of the host whose decoder it has: drafters are named after it.

        The two are mostly one.
        """
        if self.adapter:
            return Adapter.load(self.adapter).fingerprints
        return (fingerprint(read_state(self.host)),)

    @property
    def lineage(self) -> tuple[str, ...]:
        """As `Host.lineage`; the weights are read for it."""
        return Adapter.load(self.adapter).lineage if self.adapter else self.fingerprints

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json, of the merged one where it is an adapter."""
        if self.adapter:
            return dict(Adapter.load(self.adapter).model)
        return read_json(self.host / CONFIG)

    @property
    def generation(self) -> dict[str, Any]:
        """The model's generation_config.json, of the merged one where it is an adapter."""
        generation = read_json(self.host / GENERATION)
        link = read_adapter_config(self.path)
        return link.generation(generation) if link else generation

    def state(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """The whole weights, in `dtype` or the host's own, the adapter merged.

        Raises ModelError where the host is not the adapter's.
        """
        if self.adapter:
            return Adapter.load(self.adapter).merged(self.host, dtype)
        state = read_state(self.host)
        return {name: tensor.to(dtype or tensor.dtype) for name, tensor in state.items()}

    def load(self, device: str, dtype: torch.dtype, *, drafts: bool = False) -> Host:
        """The host ready to run, its adapter merged; see `Host.load`.

        One that `drafts` for another may err, and is quicker for it.
        """
        layout = approximate if drafts else exact
        return Host.load(self.host, device, dtype, self.adapter, layout)


def locate(name: str, fetch: Callable[[str], Path]) -> Checkpoint:
    """The model called `name`; fetch(name) finds the directory of any name.

    Raises ModelError where it is an adapter whose host is an adapter too.
    """
    return complete(name, fetch(name), fetch)


def complete(name: str, path: Path, fetch: Callable[[str], Path]) -> Checkpoint:
    """As `locate`, where `name` has been found in `path` and only its host may be missing."""
    wanted = host_name(path)
    if wanted is None:
        return Checkpoint(path, path)
    try:
        host = fetch(wanted)
    except PstError as error:
        error.message = f"the adapter {name} lacks its host: {error.message}"
        if error.hint:  # the name that the user knows; its download brings the host
            error.hint = error.hint.replace(f"pst download {wanted}", f"pst download {name}")
        raise
    if read_adapter_config(host):
        raise ModelError(
            f"{name} is an adapter for {wanted}, which is an adapter itself",
            hint=f"merge that one first: pst export {wanted} --output DIR",
        )
    return Checkpoint(path, host)


def host_name(path: Path) -> str | None:
    """The name or directory of the host of the adapter in `path`; None for a whole model."""
    config = read_adapter_config(path)
    if config is None:
        return None
    return str(path / config.host) if config.host.startswith(".") else config.host


def link_name(model: str, checkpoint: Checkpoint, folder: Path) -> str:
    """What an adapter in `folder` calls the whole weights of `checkpoint`, which is named `model`.

    A directory of somebody's own is named from the adapter.
    """
    earlier = read_adapter_config(checkpoint.path)
    name = earlier.host if earlier else model
    near = name.startswith(".") if earlier else isinstance(parse(name), LocalName)
    if not near:
        return name
    path = os.path.relpath(checkpoint.host.resolve(), folder.resolve())
    return path if path.startswith(".") else os.path.join(".", path)  # noqa: PTH118 - Path drops it
