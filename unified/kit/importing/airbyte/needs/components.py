"""The components of manifests, by what an engine needs to run them.

A component that is not listed is not known. What says only how a schema looks, or how an older state is brought up to
date, is dropped: our tables have schemas of their own, and an import has no state.
"""

from typing import Final

BASIS: Final = "keys, bearer and basic; pages by number, offset, cursor and link; errors; times as cursors"
PARENTS: Final = "parents"
LISTS: Final = "lists of values"
FIELDS: Final = "added, removed and renamed fields; filters"
OAUTH: Final = "OAuth"
SESSIONS: Final = "session tokens, a choice of authenticators"
WAITS: Final = "waits from headers, budgets of calls"
BODIES: Final = "bodies; JWT; CSV, JSON lines, gzip, zip and XML"
DYNAMIC: Final = "grouping, dynamic streams, asynchronous jobs"

NEEDS = (BASIS, PARENTS, LISTS, FIELDS, OAUTH, SESSIONS, WAITS, BODIES, DYNAMIC)
"""In the order in which they let the most streams run."""

_TYPES = {
    BASIS: """
        DeclarativeStream SimpleRetriever HttpRequester RecordSelector DpathExtractor JsonDecoder NoAuth
        ApiKeyAuthenticator BearerAuthenticator BasicHttpAuthenticator RequestOption RequestPath NoPagination
        DefaultPaginator PageIncrement OffsetIncrement CursorPagination DefaultErrorHandler CompositeErrorHandler
        HttpResponseFilter ConstantBackoffStrategy ExponentialBackoffStrategy DatetimeBasedCursor MinMaxDatetime
        IncrementingCountCursor
    """,
    PARENTS: "SubstreamPartitionRouter ParentStreamConfig",
    LISTS: "ListPartitionRouter",
    FIELDS: """
        AddFields AddedFieldDefinition RemoveFields RecordFilter KeysToLower KeysToSnakeCase KeysReplace FlattenFields
        DpathFlattenFields KeyTransformation
    """,
    OAUTH: "OAuthAuthenticator",
    SESSIONS: """
        SelectiveAuthenticator SessionTokenAuthenticator LegacySessionTokenAuthenticator
        SessionTokenRequestApiKeyAuthenticator SessionTokenRequestBearerAuthenticator ApiKey Bearer
    """,
    WAITS: """
        WaitTimeFromHeader WaitUntilTimeFromHeader HTTPAPIBudget FixedWindowCallRatePolicy MovingWindowCallRatePolicy
        UnlimitedCallRatePolicy HttpRequestRegexMatcher Rate
    """,
    BODIES: """
        RequestBodyPlainText RequestBodyUrlEncodedForm RequestBodyJsonObject RequestBodyGraphQL RequestBodyGraphQlQuery
        JwtAuthenticator JwtHeaders JwtPayload JsonlDecoder CsvDecoder GzipDecoder ZipfileDecoder XmlDecoder
        IterableDecoder CompositeRawDecoder JsonParser JsonLineParser CsvParser GzipParser ResponseToFileExtractor
    """,
    DYNAMIC: """
        GroupingPartitionRouter DynamicDeclarativeStream HttpComponentsResolver ConfigComponentsResolver
        ParametrizedComponentsResolver ComponentMappingDefinition ParametrizedComponentMapping
        ParametrizedComponentsStreamConfig StreamConfig StreamParametersDefinition ValueType AsyncRetriever
        AsyncJobStatusMap QueryProperties PropertiesFromEndpoint PropertyChunking JsonItemsDecoder
    """,
}
NEED_OF = {name: need for need, names in _TYPES.items() for name in names.split()}
"""What each component needs."""

DROPPED = frozenset(
    "InlineSchemaLoader JsonFileSchemaLoader DynamicSchemaLoader DefaultSchemaLoader Spec CheckStream "  # noqa: SIM905
    "CheckDynamicStream LegacyToPerPartitionStateMigration ConcurrencyLevel SchemaTypeIdentifier".split()
)
"""Components that an import does without."""

DROPPED_KEYS = frozenset(
    ("schema_loader", "schema_normalization", "state_migrations", "description", "title", "$parameters", "spec",
     "linked", "metadata", "file_uploader_settings", "additionalProperties")
)  # fmt: skip

BY_KEY = {
    "retriever": "SimpleRetriever",
    "requester": "HttpRequester",
    "creation_requester": "HttpRequester",
    "polling_requester": "HttpRequester",
    "download_target_requester": "HttpRequester",
    "download_requester": "HttpRequester",
    "delete_requester": "HttpRequester",
    "abort_requester": "HttpRequester",
    "status_extractor": "DpathExtractor",
    "download_target_extractor": "DpathExtractor",
    "download_paginator": "DefaultPaginator",
    "status_mapping": "AsyncJobStatusMap",
    "record_selector": "RecordSelector",
    "extractor": "DpathExtractor",
    "paginator": "DefaultPaginator",
    "error_handler": "DefaultErrorHandler",
    "incremental_sync": "DatetimeBasedCursor",
    "parent_stream_configs": "ParentStreamConfig",
    "stream": "DeclarativeStream",
    "record_filter": "RecordFilter",
    "response_filters": "HttpResponseFilter",
    "page_token_option": "RequestOption",
    "page_size_option": "RequestOption",
    "start_time_option": "RequestOption",
    "end_time_option": "RequestOption",
    "request_option": "RequestOption",
    "inject_into_request": "RequestOption",
}
"""What a component is that does not say its type, by the key under which it stands."""
