"""What forecasts of candles share between training and serving, numpy only."""
