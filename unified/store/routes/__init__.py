"""Routes, their settings, links and outbox."""
