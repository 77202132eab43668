"""Who asks, and whether they may: API tokens, JWTs and the keys that sign them."""
