"""What Dagster shows of assets beside their data: checks, freshness, columns and their origin, figures of runs."""
