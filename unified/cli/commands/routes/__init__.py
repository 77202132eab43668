"""Commands on routes, and how a route's rules are written on the command line."""
