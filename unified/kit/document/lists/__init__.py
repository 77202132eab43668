"""How a document's streams are read: `reading` does it, `listing` says the kit what a list is."""
