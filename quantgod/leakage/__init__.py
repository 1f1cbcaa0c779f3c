"""Whether anything that was known at a time depends on what came later: found out by trying."""

from quantgod.leakage.figure import leak_figure
from quantgod.leakage.leak_audit import LeakError, audit_leaks, raise_leaks
from quantgod.leakage.messages import RawDays, raw_days

__all__ = ["LeakError", "RawDays", "audit_leaks", "leak_figure", "raise_leaks", "raw_days"]
