"""An evaluation written up: looked into by slices, drawn, told in words, put on one page."""

from quantgod.report.report import Report, complete

__all__ = ["Report", "complete"]
