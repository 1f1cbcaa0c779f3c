"""Check before a long run whether everything fits, and estimate the time of each stage."""
