"""Pages about the workspace itself: its members, its API tokens, its audit log."""
