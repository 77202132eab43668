"""Webhooks: what a delivery is, how it is verified, what it says."""
