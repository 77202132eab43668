"""Pages about what is stored over all connections: how much, and what could not be used."""
