"""Customers from one connection to another: plan, merge, push."""
