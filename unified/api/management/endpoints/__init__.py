"""What each path of the management API does, a module for each kind of thing."""
