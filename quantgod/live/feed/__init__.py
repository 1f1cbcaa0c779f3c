"""From a venue's sockets to books: streams, snapshots, patience and politeness."""
