"""Keep order books and derive bars from them: pure code without clock, file or socket."""
