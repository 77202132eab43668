"""One module a revision, each beside the SQL that it runs."""
