"""One training loop for every network, with stopping, checkpoints and tuning."""
