"""Lessons: what a network is asked of a batch, and what it is told in return."""
