"""From what a document says of records to the kit's list: of the stream's own request, or of a job's results."""

from unified.kit.document.asking.decoders import Decoder, extraction, streaming
from unified.kit.document.asking.jobs import OfJob
from unified.kit.document.asking.paging import LinkHeaderPaging, NoPaging, paging_of
from unified.kit.document.filling import Filler
from unified.kit.document.streams import DocumentStream
from unified.kit.reading.jobs import File
from unified.kit.reading.lists import ListEndpoint

# What asks for answers that are not JSON.
_ANY_FORM = {"accept": "*/*"}


def results_of(
    said: DocumentStream, asked: DocumentStream | OfJob | None, filler: Filler, url: str = ""
) -> ListEndpoint:
    """A list with the records of a stream.

    Args:
        said: The stream.
        asked: What asks for it; None for a file at a URL.
        filler: Of the connection, the partition and the job.
        url: The file's.
    """
    body = None if asked is None else asked.body
    return ListEndpoint(
        filler.path(said.path if asked is None else asked.path),
        File(url) if asked is None else paging_of(said.paging, filler.settings),
        items=said.records if isinstance(said.records, tuple) else (),
        headers={} if said.decoder is None or said.decoder in (Decoder(), Decoder(gzip=True)) else _ANY_FORM,
        extract=extraction(
            said.records, said.decoder, is_optional=said.may_lack_records, may_be_one=said.may_be_one
        ),
        stream=streaming(said.decoder) if isinstance(said.paging, NoPaging | LinkHeaderPaging) else None,
        most_bytes=(said.decoder or Decoder()).most_bytes,
        params=() if asked is None else filler.parameters(asked.parameters),
        method="GET" if asked is None else asked.method,
        body=None if body is None else filler.body(body),
        limit=said.limit or "default",
        may_be_empty=said.may_be_empty,
        is_optional=said.may_lack_records,
    )
