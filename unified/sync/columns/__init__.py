"""Columns that a connection leaves out or hashes: whether they can be, and what is stored already brought to it."""
