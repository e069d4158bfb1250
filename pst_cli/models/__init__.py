"""Whisper as pst runs it: the only home of transformers."""
