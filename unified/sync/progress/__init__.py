"""How a sync goes, for those who wait for it."""
