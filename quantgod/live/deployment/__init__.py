"""Follow the registry's aliases, and choose the versions that answer."""
