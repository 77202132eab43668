"""What the answers of a manifest's stream are, and where their records stand, as a document says it."""

from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, path_of
from unified.kit.importing.airbyte.jobs import KIND
from unified.kit.importing.airbyte.manifest import PARAMETERS

Said = dict[str, Any]


def read_as(retriever: Said) -> tuple[Said | None, Any]:
    """What the answers with records are, where that is not JSON, and what takes the records out of them."""
    if retriever.get("type") != KIND:
        selector = retriever.get("record_selector")
        extractor = selector.get("extractor") if isinstance(selector, dict) else None
        return _decoder(retriever.get("decoder")), extractor
    # Of a job's results the record selector only filters.
    extractor = retriever.get("download_extractor")
    is_file = isinstance(extractor, dict) and extractor.get("type") == "ResponseToFileExtractor"
    decoder = _decoder(retriever.get("download_decoder"))
    return ({"kind": "csv"} if is_file and decoder is None else decoder), extractor


def records(extractor: Any, translator: Translator) -> list[str] | str:
    """Keys to the records, or a path where one of them is a wildcard."""
    found = extractor.get("field_path") if isinstance(extractor, dict) else []
    if not isinstance(found, list):
        raise Unconvertible("its records stand at an expression")
    given = extractor.get(PARAMETERS, {}) if isinstance(extractor, dict) else {}
    keys = [one for one in (translator.text(one, given, what="field_path") for one in found) if one]
    if any("{{" in one or ("*" in one and one != "*") for one in keys):
        raise Unconvertible("its records stand at an expression, not at keys")
    return path_of(keys) if "*" in keys else keys


_DECODERS = {"JsonDecoder": "json", "JsonParser": "json", "JsonlDecoder": "jsonl", "JsonLineParser": "jsonl",
             "CsvDecoder": "csv", "CsvParser": "csv", "XmlDecoder": "xml"}  # fmt: skip
_PACKED = {"GzipDecoder": "gzip", "GzipParser": "gzip", "ZipfileDecoder": "zip"}
_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8", "utf-16": "utf-16", "latin-1": "latin-1",
              "latin1": "latin-1", "iso-8859-1": "latin-1"}  # fmt: skip


def _decoder(found: Any) -> Said | None:
    said: Said = {}
    while isinstance(found, dict):
        kind = found.get("type", "JsonDecoder")
        if kind in _PACKED:
            said[_PACKED[kind]] = True
        elif kind != "CompositeRawDecoder":
            break
        found = found.get("decoder") or found.get("inner_parser") or found.get("parser")
    if not isinstance(found, dict):
        return {"kind": "json", **said} if said else None
    if found.get("type", "JsonDecoder") not in _DECODERS:
        raise Unconvertible(f"{found.get('type')}: answers are read as JSON, lines of JSON, CSV or XML")
    said["kind"] = _DECODERS[found.get("type", "JsonDecoder")]
    if said["kind"] == "csv":
        said["delimiter"] = str(found.get("delimiter") or ",").replace("\\t", "\t")
        encoding = _ENCODINGS.get(str(found.get("encoding") or "utf-8").lower())
        if encoding is None:
            raise Unconvertible("its CSV is in an encoding that is not read")
        said["encoding"] = encoding
    return said if said != {"kind": "json"} else None
