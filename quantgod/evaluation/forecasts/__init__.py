"""Score forecasts of returns: what was said at each moment beside what came, numbers out."""
