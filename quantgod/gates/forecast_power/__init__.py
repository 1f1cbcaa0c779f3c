"""Judge what a forecaster of candles claims of series whose truth is known."""
