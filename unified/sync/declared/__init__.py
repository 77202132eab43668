"""Connections as code: what a file declares of a workspace, how the workspace differs, and how it is made equal."""
