"""Pruning a model: fewer layers, fewer tokens, and a report of what that saves."""

from pst_cli.pruning.run import PruneOptions, Report, Size, check_options, prune

__all__ = ["PruneOptions", "Report", "Size", "check_options", "prune"]
