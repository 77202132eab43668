"""Pages of connections: all of them, one, a new one, one's settings, and how a sync goes."""
