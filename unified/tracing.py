"""Traces of what a process does, for OpenTelemetry (extra ``otel``): off unless its own variables say where they go.

A span says what was done, how long it took and how it ended, by the names and attributes of OpenTelemetry's conventions
(https://opentelemetry.io/docs/specs/semconv/), ours below ``unified.``. Whatever is logged about the work
(:mod:`unified.logs`) stands on its spans too. They hold names, ids and counts: no record, no secret, no URL's path or
query, which may name a person, and of an error its class alone, as its text is made for people who may see it.

Where traces are off, a span costs the look at one variable, and nothing of OpenTelemetry is imported.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol

from unified import logs
from unified.extras import how_to_install

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Link, Tracer

# https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

INBOX = {"messaging.system": "postgresql", "messaging.destination.name": "webhook_inbox"}
"""What spans say of the inbox (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/)."""

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool

_log = logging.getLogger(__name__)


class Span(Protocol):
    """A piece of work that is under way."""

    def set(self, attributes: Mapping[str, Value | None]) -> None:
        """Say more of it; values that are None are left out."""


class _Off:
    """In place of a span where nothing is traced."""

    def set(self, attributes: Mapping[str, Value | None]) -> None:
        """Nothing."""


_OFF: AbstractContextManager[Span] = nullcontext(_Off())


def span(
    name: str,
    attributes: Mapping[str, Value | None] | None = None,
    *,
    kind: Kind = "internal",
    links: Iterable[str | None] = (),
) -> AbstractContextManager[Span]:
    """Trace a block, below the span that is under way.

    Args:
        name: Of few values: what is done, and to what kind of thing.
        attributes: By name; those that are None are left out.
        kind: What the work is to others.
        links: Traces that led to it, as :func:`traceparent` gave them.
    """
    tracer = _tracer()
    return _OFF if tracer is None else _traced(tracer, name, attributes or {}, kind, links)


def traceparent() -> str | None:
    """The span that is under way, in the form that others read (https://www.w3.org/TR/trace-context/); None if none."""
    if _tracer() is None:
        return None
    from opentelemetry import trace  # noqa: PLC0415 - where traces are on

    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def _traced(
    tracer: "Tracer",
    name: str,
    attributes: Mapping[str, Value | None],
    kind: Kind,
    links: Iterable[str | None],
) -> Iterator[Span]:
    from opentelemetry import trace  # noqa: PLC0415 - where traces are on

    class Traced:
        def set(self, attributes: Mapping[str, Value | None]) -> None:
            current.set_attributes({key: value for key, value in attributes.items() if value is not None})

    about = {f"unified.{key}": value for key, value in logs.noted().items()}
    with tracer.start_as_current_span(
        name,
        kind=trace.SpanKind[kind.upper()],
        links=[link for one in dict.fromkeys(links) if one and (link := _link(one))],
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        traced = Traced()
        traced.set({**about, **attributes})
        try:
            yield traced
        except BaseException as error:
            current.set_status(trace.StatusCode.ERROR)
            current.set_attribute("error.type", type(error).__name__)
            raise


def _link(said: str) -> "Link | None":
    from opentelemetry import trace  # noqa: PLC0415 - where traces are on

    try:
        _, trace_id, span_id, flags = said.split("-")
        context = trace.SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
        )
    except ValueError:
        return None
    return trace.Link(context)


@cache
def _tracer() -> "Tracer | None":
    """Where spans go; None where they go nowhere."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_off or not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - where traces are on
            OTLPSpanExporter,
        )
    except ImportError:
        _log.warning("%s is set, but traces need the extra: %s", _ENDPOINTS[0], how_to_install("otel"))
        return None
    return tracer_to(OTLPSpanExporter())


def tracer_to(exporter: "SpanExporter", *, at_once: bool = False) -> "Tracer":
    """A tracer of this process, whose spans go to an exporter.

    Args:
        exporter: It.
        at_once: Export each span as it ends, and not many together.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - where traces are on
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or "unified-assets"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor((SimpleSpanProcessor if at_once else BatchSpanProcessor)(exporter))
    return provider.get_tracer("unified")
