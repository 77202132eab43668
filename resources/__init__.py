"""Dagster resources around the store and the adapters, and the pandas I/O manager. No logic."""
