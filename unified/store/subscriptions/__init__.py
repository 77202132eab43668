"""Subscriptions: what changes is delivered to a URL of the workspace's own."""
