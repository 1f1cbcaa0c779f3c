"""Minute bars become labelled, split, scaled windows."""
