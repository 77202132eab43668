"""Commands around connections: workspaces, connectors, connections, their syncs and how these stand."""
