"""The bench: ways of decoding run against one another on the user's own sound."""
