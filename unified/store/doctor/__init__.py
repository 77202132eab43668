"""What is misconfigured in the database, and what to do: findings of `unified doctor`. Nothing is mended here."""
