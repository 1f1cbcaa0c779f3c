"""Network architectures, one a file, built by name."""
