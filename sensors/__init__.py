"""Dagster sensors: what is due, what was asked for, what failed. They ask for runs and merge nothing themselves."""
