"""An exchange on the loopback that holds the true book, and faults to live through."""
