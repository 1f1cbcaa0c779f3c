"""Members that forecast candles: floors, ridge, trees, networks. Each says a mean and quantiles."""
