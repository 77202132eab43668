"""Connector documents that come with this release: a folder for each, with recorded exchanges and a README."""
