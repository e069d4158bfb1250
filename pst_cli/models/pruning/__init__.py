"""Pruning: which layers and which tokens of a Whisper stay, and what its files then say."""

from pst_cli.models.pruning.layers import evenly
from pst_cli.models.pruning.vocabulary import read_kept

__all__ = ["evenly", "read_kept"]
