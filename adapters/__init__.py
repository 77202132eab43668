"""One adapter per system, made of `unified.kit` and found by its entry point. No database, no Dagster."""
