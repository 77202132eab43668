"""A process to kill: one round of Stripe's connections, recorded in the instance of ``DAGSTER_HOME``.

python -m tests.unified_assets.round_victim
"""

import dagster as dg

from unified_assets.definitions import defs

if __name__ == "__main__":
    with dg.DagsterInstance.get() as instance:
        defs.resolve_job_def("stripe_round").execute_in_process(instance=instance)
