"""Pages about the workspace as a whole: how it stands, members, API tokens, the audit log, and its API tried out."""
