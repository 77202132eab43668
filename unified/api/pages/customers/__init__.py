"""Pages about customers across systems: who is one customer, and the routes that push them on."""
