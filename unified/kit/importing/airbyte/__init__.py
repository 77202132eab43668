"""Low-code and manifest-only connectors of Airbyte: which of their streams need nothing but data.

`manifest` reads a file and resolves its references and parameters, `components` lists the components and what an engine
needs for them, `examination` goes through each stream, and `coverage` counts over many manifests. The format is
described at https://docs.airbyte.com/platform/connector-development/config-based/understanding-the-yaml-file/reference
"""
