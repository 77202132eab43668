"""Tenants: who may do what, and tokens."""
