"""One adapter per system, and the contract, HTTP client and registry that they share. No database, no Dagster."""
