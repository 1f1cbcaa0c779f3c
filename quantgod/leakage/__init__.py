"""Test by perturbation whether anything known at a time depends on later data."""

from quantgod.leakage.figure import leak_figure
from quantgod.leakage.leak_audit import LeakError, audit_leaks, raise_leaks
from quantgod.leakage.messages import RawDays, raw_days
from quantgod.leakage.sources import newest_sources

__all__ = [
    "LeakError",
    "RawDays",
    "audit_leaks",
    "leak_figure",
    "newest_sources",
    "raise_leaks",
    "raw_days",
]
