"""Backups: folders with dumps and a manifest, proved when they are made, compared when they are restored."""
