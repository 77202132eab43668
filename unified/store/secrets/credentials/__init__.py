"""Connections' secrets, encrypted at rest and released only to a named use that the audit log holds."""
