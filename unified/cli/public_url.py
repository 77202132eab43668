"""Where providers reach the server, as commands are told: by an option or by the environment."""

import os
from typing import Annotated

import typer

from unified.api.settings import PUBLIC_URL_VARIABLE, Settings
from unified.cli.output import say

USUAL_ADDRESS = "http://127.0.0.1:8000"
"""Where `unified serve` and `unified dev` listen by default."""

PublicUrl = Annotated[
    str | None, typer.Option(help=f"Where providers reach `unified serve`.  [env var: {PUBLIC_URL_VARIABLE}]")
]


def public_url_of(option: str | None) -> str:
    """The URL that is meant, without a slash at the end.

    Args:
        option: What the command was given; None leaves it to the environment.

    Raises:
        SettingError: If it can't be used.
    """
    chosen = {PUBLIC_URL_VARIABLE: option or os.environ.get(PUBLIC_URL_VARIABLE, "")}
    return Settings.from_environment(chosen, address=USUAL_ADDRESS).public_url


def say_whether_reachable(url: str) -> None:
    """Say so where no provider delivers to what :func:`public_url_of` gave."""
    if url.startswith("http://"):
        say(f"Providers need an https:// URL; --public-url or {PUBLIC_URL_VARIABLE} sets it.")
