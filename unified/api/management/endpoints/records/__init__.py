"""The lists of what is stored, and single records."""
