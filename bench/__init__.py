"""Benches: figures held against goals, as ratios to a floor or to a peer. Run `python -m bench`."""
