"""Manifests: what training and evaluation hear, what was said, and what it means elsewhere."""
