"""The Dagster project: asset factories, partitions, checks, jobs, schedules, derived assets. No HTTP, no SQL."""
