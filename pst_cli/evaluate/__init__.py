"""Evaluation: what a host says of a manifest's speech, held against references."""

from pst_cli.evaluate.scores import Scores, score

__all__ = ["Scores", "score"]
