"""All definitions as a Dagster component: ``type: unified_assets.component.UnifiedComponent`` in a ``defs.yaml``.

For projects that are laid out as ``dg`` does it, where each folder below ``defs/`` is a component. In a project of
Python alone, :func:`unified_assets.definitions.build_definitions` is the same.
"""

from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from resources.files import FilesIOManager
from resources.store import DatabaseResource
from resources.tables import TablesIOManager
from unified_assets.definitions import build_definitions
from unified_assets.exports import export_asset


class ExportModel(dg.Model, dg.Resolvable):
    """A stream to be written to Parquet files."""

    stream: str = Field(
        description="As `unified export` takes it: customers, invoices, invoice_lines, events …",
        examples=["invoices"],
    )
    cron: str | None = Field(
        default=None,
        description="When it is written anew, in UTC; without it when a person or a schedule asks.",
        examples=["0 * * * *"],
    )


class UnifiedComponent(dg.Component, dg.Model, dg.Resolvable):
    """The tables of all connected systems, with their schedules, sensors, checks and resources.

    A project has one: connections are the partitions of its assets.
    """

    exports: Sequence[ExportModel] = Field(default=(), description="Streams to be written to Parquet files.")
    files_folder: str = Field(
        default="files", description="Where Parquet files are; relative to where Dagster runs."
    )
    with_raw_data: bool = Field(
        default=False, description="Whether frames of tables have the raw records, by far the largest column."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - the base's signature
        """Everything that Dagster loads, but for the project's own.

        Raises:
            ExportError: If there is no such stream to export, with the names that there are.
        """
        exports = [
            export_asset(
                one.stream,
                automation_condition=dg.AutomationCondition.cron_tick_passed(one.cron) if one.cron else None,
            )
            for one in self.exports
        ]
        database = DatabaseResource()
        return build_definitions(
            dg.Definitions(assets=exports),
            resources={
                "database": database,
                "files": FilesIOManager(folder=self.files_folder),
                "tables": TablesIOManager(database=database, with_raw_data=self.with_raw_data),
            },
        )
