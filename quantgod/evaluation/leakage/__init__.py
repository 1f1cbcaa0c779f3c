"""Whether anything that was known at a time depends on what came later: found out by trying."""

from quantgod.evaluation.leakage.audit import (
    LeakError,
    VacuousAuditError,
    audit_leaks,
    raise_leaks,
)
from quantgod.evaluation.leakage.messages import RawDays

__all__ = ["LeakError", "RawDays", "VacuousAuditError", "audit_leaks", "raise_leaks"]
