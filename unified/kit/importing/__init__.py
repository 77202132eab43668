"""Connectors that others described, read as data: low-code manifests of Airbyte. Nothing of a file is executed.

Not here: our own documents (`unified.kit.document`), and rules proposed for what streams hold
(`unified.kit.proposing`).
"""
