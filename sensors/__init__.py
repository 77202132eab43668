"""Dagster sensors. Merging is not theirs."""
