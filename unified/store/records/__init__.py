"""The unified tables: leaves, merges, cursors, history, rejects, quality."""
