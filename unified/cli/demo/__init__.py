"""`unified demo`: two workspaces loaded from stand-ins by real runs, checked, and shown in a report."""
