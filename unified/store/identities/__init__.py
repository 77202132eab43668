"""Which customers are one, and what is known of each."""
