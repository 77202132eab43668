"""How a raw record is stored: as JSON that SQL reads (`json_text`), or compressed (`forms`).

Which of the two its workspace has is chosen by :mod:`unified.store.records.repacking`, and a row's own form says how it
is read: every reader asks for :data:`forms.KEPT` and opens that by :func:`forms.opened`. What is stored is brought into
the other form a part at a time (`parts`).
"""
