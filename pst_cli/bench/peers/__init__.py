"""Peers: other programs on the same windows and weights, timed as pst's own lanes are.

Each is asked for greedy decoding with timestamps of one window (or batch) at a time, and its
encoder's seconds are told apart by a timer around it, so that its ms per token is decoder time
too. What a peer builds once (cross-attention keys and values) is in its decoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pst_cli.bench.peers.faster_whisper import FasterWhisper
from pst_cli.bench.peers.hugging_face import Assisted, Transformers
from pst_cli.bench.peers.openai_whisper import OpenAI
from pst_cli.bench.peers.peer import Peer, Setting, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from pst_cli.bench.lanes import Contender


@dataclass
class Field:
    """The peers that can run, and why the others cannot."""

    peers: list[Contender] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def load_peers(setting: Setting) -> Field:
    """Load whatever is installed; nothing here is fatal."""
    found = Field()
    kinds: dict[str, Callable[[Setting], Peer]] = {
        "transformers": Transformers,
        "transformers-assisted": Assisted,
        "faster-whisper": FasterWhisper,
        "openai-whisper": OpenAI,
    }
    for name, kind in kinds.items():
        try:
            found.peers.append(kind(setting))
        except ImportError as error:
            found.missing[name] = f"not installed ({error.name}): pip install 'pst_cli[peers]'"
        except Exception as error:  # a peer's own failure is news, whatever it is
            found.missing[name] = reason(error)
    return found
