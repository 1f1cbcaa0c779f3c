"""Record raw messages, replay them, and turn them into archives."""
