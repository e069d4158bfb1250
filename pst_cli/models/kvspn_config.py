"""The shape of a KVSPN: the paper's by default, and what goes beyond it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pst_cli.errors import ModelError
from pst_cli.models.pruning.layers import evenly

if TYPE_CHECKING:
    from pathlib import Path

KIND, CONFIG = "kvspn", "config.json"


@dataclass(frozen=True)
class KVSPNConfig:
    """Shape of a KVSPN; the first five fields are its host's."""

    d_model: int
    heads: int
    layers: int  # of the host's decoder
    vocabulary: int
    host: str = ""  # the host's fingerprint; "" where it was not recorded
    groups: int = 3  # blocks; each reads layers / groups of the host's layers
    memory: Literal["group", "layer"] = "group"  # read, or one layer's and filled while it drafts
    cross: Literal["own", "host"] = "own"  # own key and value projections, or the host's memory
    feed: Literal["token", "state", "both"] = "token"  # "state": Medusa heads, the control
    normed: bool = False  # whether queries are made of the normalised state, as in the host
    threaded: bool = False  # whether a step sees the state of the step before
    draft_length: int = 1  # tokens it was trained to draft in one go
    # Tokens of prompts, and how many tokens may be drafted after each; (): any, after every prompt.
    vocabularies: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= self.layers:
            raise ModelError(f"{self.groups} KVSPN blocks cannot share {self.layers} host layers")
        if self.feed == "both" and not self.threaded:
            raise ModelError("a KVSPN that sees token and state has to be threaded")

    @property
    def fills(self) -> bool:
        """Whether blocks add to the host's memory what they draft."""
        return self.memory == "layer"

    def group(self, block: int) -> tuple[int, int]:
        """First and last + 1 host layer that `block` reads; sizes differ by one at most."""
        bounds = [round(i * self.layers / self.groups) for i in range(self.groups + 1)]
        return bounds[block], bounds[block + 1]

    def layer(self, block: int) -> int:
        """The host layer whose sound `block` overhears, and which it begins as a copy of."""
        if self.fills:
            return evenly(self.layers, self.groups)[block]
        return self.group(block)[1] - 1


def read_config(folder: Path) -> KVSPNConfig | None:
    """The config of the KVSPN in `folder`; None where there is none.

    Raises ModelError where there is one that this pst does not understand.
    """
    try:
        document = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.pop("kind", None) != KIND:
        return None
    try:
        pairs = document.pop("vocabularies", ())
        return KVSPNConfig(**document, vocabularies=tuple((int(t), int(n)) for t, n in pairs))
    except (TypeError, ValueError) as error:
        reason = str(error).partition(") ")[2] or str(error)
        raise ModelError(f"{folder} holds a KVSPN of another pst: {reason}") from error
