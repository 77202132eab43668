"""Deleting a person's data on request: whose records they are, and every place that holds something of theirs."""
