"""A manifest's stream read by Airbyte's low-code engine: the other side of `documents.py --airbyte`.

It runs in an environment with airbyte-cdk alone, and prints how many records were read and the seconds of CPU that this
took, in JSON. Importing is not counted.

    python benchmarks/airbyte.py MANIFEST CONFIG STREAM
"""

import json
import logging
import sys
import time

from airbyte_cdk.models import (  # type: ignore[import-not-found]
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (  # type: ignore[import-not-found]
    ConcurrentDeclarativeSource,
)


def main() -> None:
    """Read, and print the outcome."""
    manifest, config, stream = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    source = ConcurrentDeclarativeSource(config=config, source_config=manifest)
    logger = logging.getLogger("airbyte")
    logger.setLevel(logging.ERROR)
    found = next(one for one in source.discover(logger, config).streams if one.name == stream)
    wanted = ConfiguredAirbyteStream(
        stream=found, sync_mode=SyncMode.full_refresh, destination_sync_mode=DestinationSyncMode.overwrite
    )
    began = time.process_time()
    count = sum(
        message.type == Type.RECORD
        for message in source.read(logger, config, ConfiguredAirbyteCatalog(streams=[wanted]), [])
    )
    print(json.dumps({"records": count, "seconds": time.process_time() - began}))


if __name__ == "__main__":
    main()
