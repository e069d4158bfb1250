"""Training: from a manifest to weights."""
