"""What every test shares: hypothesis without a stopwatch, since two cores are often busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("quantgod", deadline=None)
settings.load_profile("quantgod")
