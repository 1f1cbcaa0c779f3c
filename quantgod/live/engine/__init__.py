"""Turn closed minutes into journaled signals."""
