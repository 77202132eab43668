"""Delivering what changes to subscribers."""
