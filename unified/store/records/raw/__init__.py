"""How a raw record is stored: as JSON that SQL reads (`json_text`), or compressed (`forms`).

Its workspace says which of the two it is from now on (:mod:`unified.store.workspaces.workspaces`), and a row's own form
how it is read: every reader asks for :data:`forms.KEPT` and opens that by :func:`forms.opened`. What is stored is
brought into the other form a part at a time (`parts`).
"""
