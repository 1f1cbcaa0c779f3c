"""Define what rooms exchange: names, units and frozen records that two rooms must agree on."""

from quantgod.contracts.arrays import Booleans, Floats, Integers
from quantgod.contracts.book import BookShape, BookUpdate, Level
from quantgod.contracts.candles import CANDLE_COLUMNS, INTERVALS, Candles, PriceKind
from quantgod.contracts.columns import (
    ALL_FEATURES,
    BAR_COLUMNS,
    BOOK_COLUMNS,
    BOOK_LEVELS,
    CLASSES,
    FEATURE_SET,
    FEATURE_SETS,
    FEATURES,
    META_FEATURES,
    RSI_PERIOD,
    SECOND_FIGURES,
    SHORTEST_WINDOW,
)
from quantgod.contracts.forecast import PRIMARY, Forecast, forecast_of
from quantgod.contracts.progress import Progress, silent
from quantgod.contracts.series import MARKETS, SYMBOL, Market, Series, Source
from quantgod.contracts.target import Horizon, Target
from quantgod.contracts.time import MS_PER_DAY, MS_PER_MINUTE, MS_PER_SECOND, SECONDS_PER_MINUTE

__all__ = [
    "ALL_FEATURES",
    "BAR_COLUMNS",
    "BOOK_COLUMNS",
    "BOOK_LEVELS",
    "CANDLE_COLUMNS",
    "CLASSES",
    "FEATURES",
    "FEATURE_SET",
    "FEATURE_SETS",
    "INTERVALS",
    "MARKETS",
    "META_FEATURES",
    "MS_PER_DAY",
    "MS_PER_MINUTE",
    "MS_PER_SECOND",
    "PRIMARY",
    "RSI_PERIOD",
    "SECONDS_PER_MINUTE",
    "SECOND_FIGURES",
    "SHORTEST_WINDOW",
    "SYMBOL",
    "BookShape",
    "BookUpdate",
    "Booleans",
    "Candles",
    "Floats",
    "Forecast",
    "Horizon",
    "Integers",
    "Level",
    "Market",
    "PriceKind",
    "Progress",
    "Series",
    "Source",
    "Target",
    "forecast_of",
    "silent",
]
