#!/usr/bin/env bash
# aiohttp 3.14.5: one GET, PUT or DELETE reaches the server twice where it closes the connection without an answer.
#
# Guess: a client without a retry setting sends a request once; at most one on a kept connection, which the server may
# have closed meanwhile, is sent again.
# Seen: the server reads GET, PUT and DELETE twice, on new connections as well as on kept ones, before the caller hears
# of it once; POST once. `ClientSession` has no public setting for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
from collections import Counter

import aiohttp

seen: Counter[str] = Counter()
found: dict[tuple[str, bool], int] = {}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer /warm; close the connection on anything else, after the whole request was read."""
    while head := await reader.readline():
        method, path, _ = head.decode().split(" ", 2)
        while (await reader.readline()).strip():
            pass
        if path != "/warm":
            seen[method] += 1
            break
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for method in ("GET", "PUT", "DELETE", "POST"):
        for kept in (False, True):
            async with aiohttp.ClientSession() as session:
                if kept:
                    async with session.get(f"{url}/warm") as answer:
                        await answer.read()
                seen.clear()
                try:
                    await session.request(method, f"{url}/cut")
                except aiohttp.ServerDisconnectedError as error:
                    found[method, kept] = seen[method]
                    print(aiohttp.__version__, method, "kept" if kept else "new", "sent", seen[method], error)
    server.close()
    assert found == {
        (method, kept): 1 if method == "POST" else 2
        for method in ("GET", "PUT", "DELETE", "POST")
        for kept in (False, True)
    }, found


asyncio.run(main())
PYTHON
