"""Feed books from a venue's sockets: streams, snapshots, retries and request limits."""
