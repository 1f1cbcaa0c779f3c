"""From a closed minute to a journaled signal."""
