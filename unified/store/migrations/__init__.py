"""The database schema, step by step. :mod:`unified.store.migrate` applies it; a step back is not offered.

Undoing a step would drop what it added together with the tenants' data in it; restore a backup instead.
"""

from pathlib import Path

FOLDER = Path(__file__).parent

# A migration's file name begins with its revision; the last one is what this release works with.
HEAD = max(path.name[:4] for path in FOLDER.glob("versions/[0-9]*.py"))
