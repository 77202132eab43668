"""Names by which daemon, workers and `unified doctor` find each other. Celery, which is an extra, is not imported."""

BROKER_VARIABLE = "UNIFIED_CELERY_BROKER"
"""``redis://:password@host:6379/0``: where tasks wait, and where it is said how they stand."""

QUEUES = ("syncs", "drains")
