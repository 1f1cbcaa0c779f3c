"""Feeds and sockets, the engine, drift, journal and recorder: what runs while the market does."""
