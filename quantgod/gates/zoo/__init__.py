"""Judge which network finds which planted signal, each on markets made for it."""
