"""Assets that write what is in the tables to Parquet files, one file per workspace.

What takes such an asset as an input, with ``io_manager_key="files"``, gets its rows (:mod:`resources.files`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from resources.files import FilesIOManager
from resources.store import DatabaseResource
from unified.kit.registry import discover_adapters
from unified.store.lists.copies import Extract
from unified.store.records.tables import TABLES
from unified.store.workspaces import workspaces
from unified.sync.exports.export import Request, export
from unified.sync.exports.streams import Exported, find
from unified_assets.identities import KEY as IDENTITIES
from unified_assets.interrupts import interruptible
from unified_assets.observing.columns import lineage
from unified_assets.partitions import WORKSPACES
from unified_assets.sources import RETRIES, failures


def export_asset(
    stream: str, *, automation_condition: dg.AutomationCondition[Any] | None = None
) -> dg.AssetsDefinition:
    """The asset ``files/STREAM``: a workspace's rows of a stream as a Parquet file.

    Args:
        stream: As `unified export` takes it: ``customers``, ``invoice_lines``, ``deals`` …
        automation_condition: When it is due; by default only when a person or a schedule asks.

    Raises:
        ExportError: If there is no such stream, with the names that there are.
    """
    key = dg.AssetKey(["files", stream])
    found = find(stream)
    deps = list(_sources(found))

    @dg.asset(
        key=key,
        deps=deps,
        description=f"{stream.capitalize()} of a workspace, over all its sources, as a Parquet file.",
        group_name="files",
        kinds={"parquet"},
        partitions_def=WORKSPACES,
        io_manager_key="files",  # for assets that take it as an input; the export writes by itself
        retry_policy=RETRIES,
        automation_condition=automation_condition,
        metadata=_columns(found, deps),
    )
    async def exported(
        context: dg.AssetExecutionContext, database: DatabaseResource, files: dg.ResourceParam[FilesIOManager]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name only
        target = files.path(key, context.partition_key)
        with interruptible(context.run.run_id), failures():
            async with database.open() as db:
                workspace = await workspaces.find(db, context.partition_key)
                request = Request(
                    workspace=workspace.slug,
                    workspace_id=workspace.id,
                    stream=stream,
                    target=target,
                    file_format="parquet",
                )
                done = await export(db, request)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": done.rows,
                "path": dg.MetadataValue.path(target),
                "bytes": target.stat().st_size,
                "rows_of_an_interrupted_run": done.resumed,
            }
        )

    return exported


def _columns(exported: Exported, sources: Sequence[dg.AssetDep]) -> dict[str, Any]:
    """Each column of the files, and the column of each source that it is copied from."""
    extract = Extract(which=exported.which, lines=exported.lines, stream=exported.stream)
    columns = [
        dg.TableColumn(name, kind, extract.descriptions[name]) for name, kind in extract.columns.items()
    ]
    entity = exported.which.entity
    stored = extract.columns if entity is None else {column.name for column in TABLES[entity].columns}
    reads = {
        name: [(one.asset_key, origin) for one in sources]
        for name, origin in extract.origins.items()
        if origin in stored
    }
    return {"dagster/column_schema": dg.TableSchema(columns), **lineage(reads)}


def _sources(exported: Exported) -> Iterator[dg.AssetDep]:
    """The assets whose rows are exported."""
    if exported.which.entity is None:
        yield dg.AssetDep(IDENTITIES)
        return
    for adapter in discover_adapters().values():
        for stream in adapter.all_streams():
            if stream.entity is exported.which.entity and exported.stream in {None, stream.name}:
                yield dg.AssetDep([adapter.name, stream.name], partition_mapping=dg.AllPartitionMapping())
