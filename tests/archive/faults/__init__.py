"""Faults for simulated archives: makers by what they spoil, and a catalogue of examples by name."""
