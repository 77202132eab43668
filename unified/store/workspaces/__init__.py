"""Tenants: workspaces, their members and roles, and API tokens. How one is deleted: `unified.store.removal`."""
