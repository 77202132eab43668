"""What is encrypted: master keys, data keys, credentials, tokens."""
