"""Connections as they are stored: rows, settings, approval, field rules, how their syncs stand."""
