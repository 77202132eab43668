"""What each tool does, a module for each kind of thing. How all of them are called is `unified.api.mcp.desk`."""
