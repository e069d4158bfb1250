"""Text with times becomes subtitles: `cues` cuts it up, `formats` writes it down."""
