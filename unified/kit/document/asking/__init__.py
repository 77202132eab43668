"""What a document says of asking for a list: bodies, pages, changes, and where an answer has the records."""
