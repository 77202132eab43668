"""What is misconfigured, and what to do."""
