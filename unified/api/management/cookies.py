"""Cookies: their names, and what keeps them from scripts and other hosts. What they hold is their owners'."""

from typing import Literal

from fastapi import Response

from unified.api.settings import Settings


def cookie_name(settings: Settings, name: str) -> str:
    """A cookie's name; by https one that no other host and no path may set (RFC 6265bis section 4.1.3.2)."""
    return f"__Host-unified_{name}" if settings.is_https else f"unified_{name}"


def set_cookie(
    response: Response,
    settings: Settings,
    name: str,
    value: str,
    seconds: int,
    *,
    samesite: Literal["strict", "lax"] = "strict",
) -> None:
    """Give a browser a cookie that no script sees and that no other site can have sent.

    Args:
        response: What goes to the browser.
        settings: Say whether it comes by https.
        name: Without the prefix that :func:`cookie_name` adds.
        value: What it shows later.
        seconds: How long it keeps it.
        samesite: ``lax`` for a browser that another site sends back here.
    """
    response.set_cookie(
        cookie_name(settings, name),
        value,
        max_age=seconds,
        path="/",  # as __Host- asks for
        secure=settings.is_https,
        httponly=True,
        samesite=samesite,
    )


def delete_cookie(response: Response, settings: Settings, name: str) -> None:
    """Take a cookie back. A browser heeds that only with the attributes that it was given with."""
    response.delete_cookie(
        cookie_name(settings, name), path="/", secure=settings.is_https, httponly=True, samesite="strict"
    )
