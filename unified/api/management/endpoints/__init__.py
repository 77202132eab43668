"""What each path of the API does, a module for each kind of thing."""
