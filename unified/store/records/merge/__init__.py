"""From a batch to rows: how records, deletions and cursor are staged, merged and committed together."""
