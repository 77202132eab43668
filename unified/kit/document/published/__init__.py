"""The format of connector documents for others to read: a JSON Schema for editors, a reference for people."""
