"""Connections and their secrets: added, changed, tried. API, pages and command call here, and show the outcome.

The rules are the same for all three:

- Settings are checked by the connector's model, and secrets by the fields that it declares.
- A credential is tried at the provider before it is stored. What the provider refuses is not stored.
- Until an admin has approved a connection its credential is used for nothing, so a new one is stored untried.
- A connection is stored together with its credential, or not at all.
- Credentials never follow a connection to another host: they are given anew, in the same change or after they were
  deleted.
- Other credentials or settings may lead to another account or to other records: the next sync asks, and reads anew
  (`unified.sync.scope`). A change says so.
"""
