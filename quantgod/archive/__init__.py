"""Turn archives of raw messages into stored minute bars."""
