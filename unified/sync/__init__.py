"""The movements between sources and tables, as plain async code."""
