"""Lists of the tables to files: Parquet, CSV, JSON lines. Not here: the SQL (:mod:`unified.store.lists.copies`)."""
