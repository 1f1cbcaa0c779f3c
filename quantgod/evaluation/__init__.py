"""Evaluate models: arrays in, numbers and figures out."""
