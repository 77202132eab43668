"""Documents that people write: files of rules, in YAML or JSON, read with the line of each value.

`source` reads a file, `rules` takes one for a list of rules. Not here: what rules are (`unified.kit.mapping`).
"""
