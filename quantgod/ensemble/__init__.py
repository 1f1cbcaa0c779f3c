"""Several forecasters under one combiner: their weights as outcomes mature, and fitted ones."""
