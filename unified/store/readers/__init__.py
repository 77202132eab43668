"""Readers: logins that read one workspace and do nothing else, for one question or for as long as they are granted."""
