"""The job of a manifest's ``AsyncRetriever`` as a document's, or :class:`Unconvertible` with the reason.

What each of its requesters is for:
https://docs.airbyte.com/platform/connector-development/config-based/understanding-the-yaml-file/reference/AsyncRetriever
Of an answer, `headers` are its headers and `request` what it answers, unless its body has such a key.
"""

import re
from collections.abc import Mapping
from typing import Any

from unified.kit.importing.airbyte.addresses import address
from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, path_of
from unified.kit.importing.airbyte.requests import Asked, asked_of, fixed_headers
from unified.kit.importing.names import slug

Said = dict[str, Any]

KIND = "AsyncRetriever"

_ANSWERS = {"creation": "the answer that begins the job", "polling": "the job's status"}
_STEP = r"""(?:\.get\(\s*['"][^'"]+['"]\s*\)|\[\s*(?:'[^']+'|"[^"]+"|\d+)\s*\]|\.[A-Za-z_]\w*(?![\w(]))"""
_OF_ANSWER = re.compile(rf"\b(?P<which>creation|polling)_response(?P<keys>{_STEP}+)")
_HEADERS = re.compile(r"""\.headers\b|\[\s*['"]headers['"]\s*\]|\.get\(\s*['"]headers['"]\s*\)""")
_REQUEST = re.compile(r"""\.request\b|\[\s*['"]request['"]|\.get\(\s*['"]request['"]""")
_LEFT = re.compile(r"\b(creation_response|polling_response|download_target)\b")
_TARGET = re.compile(r"\{\{\s*download_target\s*\}\}")
_WORDS = {
    "running": "running",
    "completed": "completed",
    "skipped": "skipped",
    "failed": "failed",
    "timeout": "failed",
}


class _Outputs:
    """What later requests take out of an answer, by name."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, str]] = {which: {} for which in _ANSWERS}

    def named(self, said: Any) -> Any:
        """A request in the words of a document's: ``job.NAME`` for what an answer has."""
        if isinstance(said, dict):
            return {key: self.named(one) for key, one in said.items()}
        if isinstance(said, list):
            return [self.named(one) for one in said]
        if not isinstance(said, str) or "{{" not in said:
            return said
        text = _OF_ANSWER.sub(lambda match: f"job.{self._name(match['which'], match['keys'])}", said)
        if left := _LEFT.search(text):
            raise Unconvertible(f"{KIND}: it needs {left[1]} other than by keys to a value of it")
        return text

    def _name(self, which: str, keys: str) -> str:
        if _REQUEST.match(keys):
            raise Unconvertible(f"{KIND}: it needs the request to which {_ANSWERS[which]} is the answer")
        headers = _HEADERS.match(keys)
        # Of headers, documents see the names in lower case.
        expression = (
            f"{{{{ headers{keys[headers.end() :].lower()} }}}}" if headers else f"{{{{ response{keys} }}}}"
        )
        named = slug([which, *re.findall(r"[A-Za-z_]\w*", keys)][-1])
        count = 1
        while True:
            name = named if count == 1 else f"{named[:36]}_{count}"
            others = [self.of[one].get(name) for one in _ANSWERS if one != which]
            if self.of[which].get(name, expression) == expression and not any(others):
                self.of[which][name] = expression
                return name
            count += 1


def job_of(retriever: Said, base_url: str, translator: Translator) -> tuple[Said, Asked, list[str]]:
    """The job: what the document says of it, what asks for its results, and what a person should look at.

    Args:
        retriever: The ``AsyncRetriever``.
        base_url: Where the request goes that begins it; all others must go there too, but for files.
        translator: Of the document.
    """
    _refuse_others(retriever)
    outputs, remarks = _Outputs(), []
    status = {
        **_request(retriever, "polling_requester", base_url, translator)[0],
        "at": _keys(retriever.get("status_extractor"), translator, "status"),
        **_meanings(retriever.get("status_mapping")),
    }
    said: Said = {}
    asked = Asked("GET")
    download = _requester(retriever, "download_requester")
    if _TARGET.fullmatch(
        "".join(str(download.get(key) or "") for key in ("url", "url_base", "path")).strip()
    ):
        found = _keys(retriever.get("download_target_extractor"), translator, "download_target")
        said["urls"] = path_of(found)
        remarks.append(
            "its results are files at URLs that an answer names: add the hosts of these to `hosts`; they are asked for "
            "without the credential"
        )
    else:
        said["download"], asked = _request(retriever, "download_requester", base_url, translator)
    for ours, theirs in (("delete", "delete_requester"), ("abort", "abort_requester")):
        if retriever.get(theirs):
            said[ours] = _ending(retriever, theirs, base_url, translator)
    said = outputs.named({"status": status, **said})
    asked.parameters, asked.body = outputs.named(asked.parameters), outputs.named(asked.body)
    if not outputs.of["creation"]:
        raise Unconvertible(f"{KIND}: nothing says which job its status is of")
    if outputs.of["polling"]:
        said["status"]["outputs"] = outputs.of["polling"]
    if minutes := retriever.get("polling_job_timeout"):
        if str(minutes).isdecimal() and int(minutes) > 0:
            said["timeout_seconds"] = min(60 * int(minutes), 86_400)
        else:
            remarks.append(
                "how long its job may take is not a whole number of minutes; say `timeout_seconds`"
            )
    if retriever.get("failed_retry_wait_time_in_seconds"):
        remarks.append("a job that failed is begun again at once: documents have no wait before that")
    return {"outputs": outputs.of["creation"], **said}, asked, remarks


def _refuse_others(retriever: Said) -> None:
    """See that a job is begun, asked after and read in the ways that documents know."""
    if retriever.get("download_target_requester") or retriever.get("url_requester"):  # its name of old
        raise Unconvertible(f"{KIND}: a request of its own says where its results are")
    decoder = retriever.get("decoder")
    kind = decoder.get("type", "JsonDecoder") if isinstance(decoder, dict) else "JsonDecoder"
    if kind != "JsonDecoder":
        raise Unconvertible(f"{KIND}: {kind} reads its answers about a job, which documents read as JSON")


def _requester(retriever: Said, key: str) -> Said:
    found = retriever.get(key)
    if not isinstance(found, dict):
        raise Unconvertible(f"{KIND}: it has no {key}")
    return found


def _request(
    retriever: Said, key: str, base_url: str, translator: Translator, *, has_any_method: bool = False
) -> tuple[Said, Asked]:
    """A request as the document says it, and what it holds."""
    requester = _requester(retriever, key)
    first = _requester(retriever, "creation_requester").get("authenticator")
    if requester.get("authenticator") not in (None, first):
        raise Unconvertible(
            f"{KIND}: its {key} has another authenticator than the request that begins the job"
        )
    where, _, path = address(requester, translator)
    if where != base_url:
        raise Unconvertible(f"{KIND}: its {key} goes to another host than the request that begins the job")
    if fixed_headers(requester, translator):
        raise Unconvertible(f"{KIND}: its {key} needs headers of its own")
    method = "POST" if has_any_method else requester.get("http_method", "GET")
    asked = asked_of({**requester, "http_method": method}, translator)
    return {"path": path, **asked.said()}, asked


def _ending(retriever: Said, key: str, base_url: str, translator: Translator) -> Said:
    method = str(_requester(retriever, key).get("http_method", "GET")).upper()
    said, _ = _request(retriever, key, base_url, translator, has_any_method=True)
    if said.pop("parameters", None):
        raise Unconvertible(f"{KIND}: its {key} has parameters")
    return {**said, "method": method}


def _keys(extractor: Any, translator: Translator, what: str) -> list[str]:
    found = extractor.get("field_path") if isinstance(extractor, dict) else None
    if not isinstance(found, list) or not found:
        raise Unconvertible(f"{KIND}: its {what} does not stand at keys")
    keys = [translator.text(one, {}, what="field_path") for one in found]
    if any("{{" in one for one in keys) or (what == "status" and "*" in keys):
        raise Unconvertible(f"{KIND}: its {what} does not stand at keys")
    return keys


def _meanings(mapping: Any) -> Mapping[str, list[str]]:
    said: dict[str, list[str]] = {}
    for theirs, words in mapping.items() if isinstance(mapping, dict) else ():
        if theirs in _WORDS and isinstance(words, list):
            into = said.setdefault(_WORDS[theirs], [])
            into += [str(one) for one in words if str(one) not in into]
    return {key: words for key, words in said.items() if words}
