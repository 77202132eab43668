"""Customers pushed from one connection to another: plan, three-way merge, push, settlement."""
