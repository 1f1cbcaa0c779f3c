"""Units of time."""

from __future__ import annotations

from typing import Final

MS_PER_SECOND: Final = 1_000

MS_PER_MINUTE: Final = 60_000

MS_PER_DAY: Final = 86_400_000

SECONDS_PER_MINUTE: Final = 60
