"""A provider's own MCP tools as a way in, for agents that hold such a connection already: no credential, no network."""
