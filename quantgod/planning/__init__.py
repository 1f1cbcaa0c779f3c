"""What a long run is told before it starts: whether everything fits, and what each stage takes."""
