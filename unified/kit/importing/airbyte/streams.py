"""One stream of a manifest as a document's. What a document says once for all its streams is gathered beside.

Where a stream can't become one, :class:`Unconvertible` says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified.kit.document.streams import DocumentStream
from unified.kit.importing.airbyte import answers, jobs
from unified.kit.importing.airbyte.addresses import address
from unified.kit.importing.airbyte.cursors import changes
from unified.kit.importing.airbyte.expressions import Translator, Unconvertible
from unified.kit.importing.airbyte.manifest import PARAMETERS
from unified.kit.importing.airbyte.pages import paging
from unified.kit.importing.airbyte.partitions import partition
from unified.kit.importing.airbyte.requests import Asked, asked_of, fixed_headers
from unified.kit.importing.landing import landing
from unified.kit.proposing.schemas import of_schema

Said = dict[str, Any]

_ACTIONS = frozenset(("RETRY", "RATE_LIMITED", "FAIL", "IGNORE"))


@dataclass(slots=True)
class ConvertedStream:
    """What became of one stream.

    Attributes:
        name: As the manifest calls it.
        said: The document's stream; None where it is refused.
        reason: Why it is refused.
        remarks: What a person should look at.
    """

    name: str
    said: Said | None = None
    reason: str | None = None
    remarks: list[str] = field(default_factory=list)


@dataclass
class Shared:
    """What a document says once for all its streams.

    Attributes:
        base_url: Where the API lives: a host, without a path.
        host: It, as documents declare hosts.
        auth: The authenticator.
        headers: Of each request.
        handlers: What answers mean.
        wait_headers: Headers that say how long to wait, besides the usual one.
    """

    base_url: str
    host: str
    auth: Said
    headers: Said = field(default_factory=dict)
    handlers: list[Said] = field(default_factory=list)
    wait_headers: list[str] = field(default_factory=list)


def requester_of(stream: Mapping[str, Any]) -> Said:
    """How a stream's requests are made; empty where it does not say."""
    retriever = stream.get("retriever")
    said = retriever if isinstance(retriever, dict) else {}
    found = said.get("creation_requester" if said.get("type") == jobs.KIND else "requester")
    return found if isinstance(found, dict) else {}


def stream_of(one: ConvertedStream, stream: Said, shared: Shared, translator: Translator) -> Said:
    """The document's stream; what to look at is noted beside it.

    Raises:
        Unconvertible: If it can't become one.
        ValidationError: If the document's model refuses it.
    """
    requester, retriever = requester_of(stream), stream["retriever"]
    is_job = _is_job(retriever)
    _, _, path = address(requester, translator)
    asked = asked_of(requester, translator)
    if shared.auth.get("place") == "body" and asked.body is None:
        asked.send("json")
    since, remarks = changes(stream.get("incremental_sync"), asked, translator)
    one.remarks += remarks
    split = partition(retriever.get("partition_router"), asked, translator, retriever.get(PARAMETERS, {}))
    if since is not None and split is not None and not since.keys() & {"step_seconds", "start"}:
        since["per_partition"] = True
    job, results = _job(one, retriever, asked, shared, translator) if is_job else (None, asked)
    pages = paging(retriever.get("download_paginator" if is_job else "paginator"), results, translator)
    if job is not None and "download" in job:
        job["download"] |= results.said()
    if since is not None and not is_job and (why := _without_changes(since, pages, split)):
        since = None
        one.remarks.append(why)
    _headers(requester, shared, translator)
    _handlers(one, requester.get("error_handler"), shared, has_partitions=split is not None)
    fields = of_schema(_schema(stream))
    ids = _ids(stream, translator)
    landed = landing(one.name, fields, ids)
    if landed is None:
        raise Unconvertible("nothing says what a record's id is: it has no primary key")
    one.remarks += landed.remarks
    decoder, extractor = answers.read_as(retriever)
    is_xml = decoder is not None and decoder["kind"] == "xml"  # a list of one is an object there
    has_keys = decoder is None or decoder["kind"] in ("json", "xml")
    records = answers.records(extractor, translator) if has_keys else []
    said: Said = {"entity": landed.entity, "path": path, **asked.said()}
    for key, value in (
        ("decoder", decoder),
        ("records", records),
        ("may_be_one", is_xml or (not records and decoder is None and pages["kind"] == "none")),
        ("may_lack_records", is_xml and bool(records)),
        ("paging", pages if pages["kind"] != "none" else None),
        ("job", job),
        ("changes", since),
        ("partition", split),
        ("filter", _filter(retriever, translator)),
        ("transformations", _transformations(stream, translator)),
    ):
        if value:
            said[key] = value
    said["mapping"] = landed.mapping
    DocumentStream.model_validate(said)
    return said


def _is_job(retriever: Said) -> bool:
    """Whether a job makes its list.

    Raises:
        Unconvertible: If documents do not read what it reads.
    """
    kind = retriever.get("type", "SimpleRetriever")
    if kind not in ("SimpleRetriever", jobs.KIND):
        raise Unconvertible(f"{kind}: documents read lists, and what jobs make")
    return bool(kind == jobs.KIND)


def _job(
    one: ConvertedStream, retriever: Said, asked: Asked, shared: Shared, translator: Translator
) -> tuple[Said, Asked]:
    """The job, and what asks for its results."""
    if asked.token is not None:
        raise Unconvertible(f"{jobs.KIND}: the request that begins a job names a page")
    job, results, remarks = jobs.job_of(retriever, shared.base_url, translator)
    one.remarks += remarks
    return job, results


def _without_changes(since: Said, pages: Said, split: Any) -> str | None:
    """Why every pull reads all of a list; None where it may be asked for what changed."""
    if pages["kind"] not in ("page", "offset", "computed"):
        return None
    if split is not None:
        return "its pages are numbered within partitions, so every pull reads all of it"
    if "changed_at" not in since:
        return "its pages are numbered, and no field says when a record changed: all is read"
    return None


def _headers(requester: Said, shared: Shared, translator: Translator) -> None:
    for key, said in fixed_headers(requester, translator).items():
        if shared.headers.setdefault(key, said) != said:
            raise Unconvertible(f"its header {key} is another one than that of other streams")


def _handlers(one: ConvertedStream, found: Any, shared: Shared, *, has_partitions: bool) -> None:
    """What its answers mean. A document says that once for all streams."""
    for handler in _listed(found):
        for backoff in handler.get("backoff_strategies") or ():
            header = backoff.get("header") if isinstance(backoff, dict) else None
            if isinstance(header, str) and "{{" not in header and header.lower() not in shared.wait_headers:
                shared.wait_headers.append(header.lower())
        for said in handler.get("response_filters") or ():
            if not isinstance(said, dict) or said.get("action", "") not in _ACTIONS:
                raise Unconvertible("an answer is taken for a success, or for nothing, by its error handler")
            if said["action"] == "IGNORE" and not has_partitions:
                one.remarks.append("refusals of its list are errors here, not passed over")
                continue
            keys = ("http_codes", "error_message_contains", "predicate")
            match = {key: said[key] for key in keys if said.get(key)}
            if not match:
                continue
            same = [other for other in shared.handlers if {**other, "action": ""} == {**match, "action": ""}]
            if not same:
                shared.handlers.append({"action": said["action"], **match})
            elif same[0]["action"] != said["action"]:
                raise Unconvertible("its answers mean something else than those of other streams")


def _listed(handler: Any) -> list[Said]:
    if not isinstance(handler, dict):
        return []
    inner = handler.get("error_handlers")
    if isinstance(inner, list):
        return [one for each in inner for one in _listed(each)]
    return [handler]


def _schema(stream: Said) -> Any:
    loaders = stream.get("schema_loader")
    for loader in loaders if isinstance(loaders, list) else [loaders]:
        if isinstance(loader, dict) and isinstance(loader.get("schema"), dict):
            return loader["schema"]
    return {}


def _ids(stream: Said, translator: Translator) -> list[str]:
    found = stream.get("primary_key") or []
    parts = found if isinstance(found, list) else [found]
    paths = [".".join(map(str, one)) if isinstance(one, list) else one for one in parts]
    return [translator.text(one, stream.get(PARAMETERS, {}), what="primary_key") for one in paths]


def _filter(retriever: Said, translator: Translator) -> str | None:
    selector = retriever.get("record_selector")
    found = selector.get("record_filter") if isinstance(selector, dict) else None
    if not isinstance(found, dict) or not found.get("condition"):
        return None
    return translator.text(found["condition"], found.get(PARAMETERS, {}), what="record_filter")


def _transformations(stream: Said, translator: Translator) -> list[Said]:
    said: list[Said] = []
    for one in stream.get("transformations") or ():
        if not isinstance(one, dict):
            raise Unconvertible("a transformation is not an object")
        if one.get("condition"):
            raise Unconvertible("a transformation has a condition")
        if one.get("type") == "AddFields":
            for each in one.get("fields") or ():
                path = each.get("path") if isinstance(each, dict) else None
                value = translator.text(each.get("value", ""), one.get(PARAMETERS, {}), what="AddFields")
                said.append({"do": "add", "path": path, "value": value})
        elif one.get("type") == "RemoveFields":
            said += [{"do": "remove", "path": path} for path in one.get("field_pointers") or ()]
        else:
            raise Unconvertible(f"{one.get('type')}: documents have no such transformation")
    if any(not isinstance(one["path"], list) or "*" in map(str, one["path"]) for one in said):
        raise Unconvertible("a transformation's path is not made of keys")
    return said
