"""Hypothesis for these tests: an example may take as long as a busy machine makes it take.

Import ``given`` and the rest from here: what is set here holds for tests that are defined afterwards.
"""

from hypothesis import HealthCheck, example, given, settings

__all__ = ["HealthCheck", "example", "given", "settings"]

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
