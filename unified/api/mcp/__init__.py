"""The MCP server: what agents may ask of a workspace, over `/mcp` and on stdin and stdout.

A tool is calls of the management API, made in this process in its caller's name. Nothing here reads or changes
anything past that API, but for SQL, which the API does not have.
"""
