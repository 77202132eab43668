"""Threads and time of the servers that `unified dev` has Dagster start.

Ticks that stay must leave threads for heartbeats, and a busy machine needs more than a minute for the definitions.
"""

import pytest
from dagster._cli.api import grpc_command
from dagster._cli.code_server import start_command
from dagster._grpc.utils import (
    default_grpc_timeout,
    default_repository_grpc_timeout,
    default_sensor_grpc_timeout,
)

from sensors import watching
from unified.cli.commands.operation.dev import (
    SENSOR_TIMEOUT_VARIABLE,
    THREADS_VARIABLES,
    TIMEOUT_VARIABLE,
    prepare_code_server,
)


def test_each_server_takes_its_threads_from_a_variable_that_is_set() -> None:
    variables = {
        option.envvar
        for command in (grpc_command, start_command)
        for option in command.params
        if option.name == "max_workers"
    }
    assert variables == set(THREADS_VARIABLES)


def test_a_busy_machine_has_five_minutes_to_load_the_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*THREADS_VARIABLES, TIMEOUT_VARIABLE, SENSOR_TIMEOUT_VARIABLE):
        monkeypatch.setenv(variable, "7")  # what is set is put back, whatever the code sets
        monkeypatch.delenv(variable)
    prepare_code_server()
    assert (default_grpc_timeout(), default_repository_grpc_timeout()) == (300, 300)
    monkeypatch.setenv(TIMEOUT_VARIABLE, "90")
    prepare_code_server()
    assert default_grpc_timeout() == 90


def test_ticks_look_as_long_as_the_daemon_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*THREADS_VARIABLES, TIMEOUT_VARIABLE, SENSOR_TIMEOUT_VARIABLE):
        monkeypatch.setenv(variable, "7")
        monkeypatch.delenv(variable)
    assert watching.watch_seconds() < default_sensor_grpc_timeout() == 60
    monkeypatch.setenv(TIMEOUT_VARIABLE, "20")
    assert watching.watch_seconds() < default_sensor_grpc_timeout() == 20
    prepare_code_server()
    assert 200 < watching.watch_seconds() < default_sensor_grpc_timeout() == 300
