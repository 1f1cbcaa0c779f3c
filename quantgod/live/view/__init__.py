"""Show the status on a terminal or in log lines."""
