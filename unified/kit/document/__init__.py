"""Documents that people write, in YAML or JSON, read with the line of each value.

Connector documents: `model` is the format (`auth`, `streams`, `asking`, `actions`, `answers` are its parts),
`engine` the adapter that one makes, `filling` fills its texts in, `lists/` reads its streams, `writing` carries its
actions out, `published` is its form for others. `source` reads any file, `rules` takes one for a list of rules.

Not here: what rules are (`unified.kit.mapping`), and where documents are installed (`unified.store.connectors`).
"""
