"""A project on Unified Assets."""
