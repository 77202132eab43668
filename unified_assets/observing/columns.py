"""What Dagster shows of tables: each column with its type and description, and which columns it is made from."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from unified.schema.entities import Entity
from unified.store.records import tables


def table_metadata(entity: Entity, connector: str) -> dict[str, Any]:
    """Metadata of an asset that is one connector's leaf of a unified table: its name and its columns."""
    return {
        "dagster/table_name": entity.leaf(connector),
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(column.name, column.type, entity.model.model_fields[column.name].description)
                for column in tables.TABLES[entity].columns
            ]
        ),
    }


def lineage(reads: Mapping[str, Iterable[tuple[dg.AssetKey, str]]]) -> dict[str, Any]:
    """Metadata that says which columns of other assets each column of an asset is made from.

    Args:
        reads: By column, the assets that it is made from, each with the name of its column there.
    """
    deps = {
        column: [dg.TableColumnDep(asset_key=asset, column_name=name) for asset, name in made_from]
        for column, made_from in reads.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}
