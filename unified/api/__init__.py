"""The HTTP server: webhook ingress and probes. No SQL, no syncing."""
