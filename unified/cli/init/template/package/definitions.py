"""What Dagster loads: the tables of all connected systems, and this project's own definitions beside them."""

import dagster as dg

from unified_assets.definitions import build_definitions

from . import assets

defs = build_definitions(
    dg.Definitions(
        assets=dg.load_assets_from_modules([assets]),
        asset_checks=dg.load_asset_checks_from_modules([assets]),
        # jobs, schedules, sensors and resources of your own go here as well
    )
)
