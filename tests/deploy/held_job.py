"""A job whose runs note that they begin, and last until they may end."""

import time
from pathlib import Path

import dagster as dg


class Held(dg.Config):
    folder: str


@dg.op
def hold(context: dg.OpExecutionContext, config: Held) -> None:
    folder = Path(config.folder)
    with (folder / "begun").open("a") as begun:
        begun.write(f"{context.run_id}\n")
    while not (folder / "may-end").exists():
        time.sleep(0.1)


@dg.job(executor_def=dg.in_process_executor)
def held() -> None:
    hold()
