"""Threads of the servers that `unified dev` has Dagster start: ticks that stay must leave some for heartbeats."""

from dagster._cli.api import grpc_command
from dagster._cli.code_server import start_command

from unified.cli.commands.operation.dev import THREADS_VARIABLES


def test_each_server_takes_its_threads_from_a_variable_that_is_set() -> None:
    variables = {
        option.envvar
        for command in (grpc_command, start_command)
        for option in command.params
        if option.name == "max_workers"
    }
    assert variables == set(THREADS_VARIABLES)
