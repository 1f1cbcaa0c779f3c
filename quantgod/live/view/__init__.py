"""What people see: a view on the terminal, or lines of a log."""
