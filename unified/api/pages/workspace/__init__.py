"""Pages about the workspace as a whole: how it stands, its members, its API tokens, its audit log."""
