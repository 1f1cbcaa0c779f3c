"""Report an evaluation: slices, figures, findings in words, one HTML page and a model card."""

from quantgod.report.report import Report, complete

__all__ = ["Report", "complete"]
