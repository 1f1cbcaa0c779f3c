"""Train any network in one loop, with early stopping, checkpoints and tuning."""
