"""`/api/workspaces` and what stands in one: members, API tokens, the audit log."""
