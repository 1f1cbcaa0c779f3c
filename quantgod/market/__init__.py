"""The order book and everything derived from it, pure: no clock, no file, no socket."""
