"""Raw messages kept, replayed, and turned into archives."""
