"""Simulate an exchange on the loopback, with the true book and with faults."""
