"""Access to a provider: OAuth tokens, a person's consent, and trials of credentials and of webhooks."""
