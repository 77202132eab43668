"""What `unified dev` sets right before it starts Dagster."""

import dagster as dg

from unified.cli.installation import end_lost_runs


@dg.job
def some_job() -> None: ...


def test_runs_of_a_dagster_that_was_killed_are_ended() -> None:
    with dg.instance_for_test() as instance:
        before = {
            instance.create_run_for_job(some_job, status=status).run_id: status
            for status in (
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.CANCELING,
                dg.DagsterRunStatus.NOT_STARTED,
                dg.DagsterRunStatus.SUCCESS,
            )
        }
        end_lost_runs()
        after = {
            status: instance.get_runs(dg.RunsFilter([run_id]))[0].status for run_id, status in before.items()
        }
    lost, untouched = list(after.values())[:3], list(after.items())[3:]
    assert lost == [dg.DagsterRunStatus.FAILURE] * 3
    assert all(then == now for then, now in untouched)
