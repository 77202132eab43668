"""What Dagster is given to work with; no logic.

Resources around the store and the adapters, and the database that ticks share (`kept`); I/O managers of tables, Parquet
files and DuckDB; the storage of Dagster itself; runs on Celery workers.
"""
