"""Where a voice is heard, as windows that Whisper can take."""

from pst_cli.vad.options import VadOptions
from pst_cli.vad.windows import speech_windows, whole_windows

__all__ = ["VadOptions", "speech_windows", "whole_windows"]
