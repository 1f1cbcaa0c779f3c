"""Members of candle forecasts become one forecast, walked through date by date."""
