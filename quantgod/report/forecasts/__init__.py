"""Report forecasts of returns: a page, its figures, and the record of a training."""

from quantgod.report.forecasts.material import ForecastMaterial
from quantgod.report.forecasts.report import ForecastReport, forecast_report
from quantgod.report.forecasts.training import training_report

__all__ = ["ForecastMaterial", "ForecastReport", "forecast_report", "training_report"]
