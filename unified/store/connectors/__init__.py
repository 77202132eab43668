"""Connector documents that were installed: their rows, and how each process knows them."""
