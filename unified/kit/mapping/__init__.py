"""The rule language: "this field of theirs is that field of ours", as data. docs/rules.md is its reference.

`rules` and `steps` declare it, `paths` and `expressions` read values, `transforms` and `targets` make of them what a
field holds, `compiled` puts that together once per connection, and `trial` says what rules do to sample records.

Not here: where a workspace's own rules are kept (`unified.store.connections.field_rules`), and what an adapter in
Python maps.
"""
