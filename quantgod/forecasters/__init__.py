"""What can be fitted and asked: networks and baselines."""
