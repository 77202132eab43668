"""Access to a provider: OAuth tokens, a person's consent, and whether credentials open an account."""
