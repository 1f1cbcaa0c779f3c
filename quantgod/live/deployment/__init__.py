"""Which versions answer: the registry's aliases, followed without a candle missed."""
