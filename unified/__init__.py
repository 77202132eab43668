"""Unified Assets: everything that the design of the Dagster project does not name.

From the ground up: ``schema`` (models), ``kit`` (what connectors are made of), ``store`` (PostgreSQL), ``sync``
(movements between them), ``api`` and ``cli`` (ways in); ``sandbox`` (stand-ins of providers) stands apart.
"""
