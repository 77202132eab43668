"""Ways to write records at a provider, each with an outcome of its own."""
