"""Sound from any file, as blocks that Whisper and Silero can hear."""

from pst_cli.audio.finding import find_audio
from pst_cli.audio.stream import AudioStream, open_audio

__all__ = ["AudioStream", "find_audio", "open_audio"]
