"""A node that says what its clocks and its disk are: for tests of what faults make of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from reference_systems.kit.env import Connection, Env, LogFile
from reference_systems.kit.frames import Frame


async def main(env: Env) -> None:
    """Answer one request after the other: `[what, argument]` as JSON."""
    log = await env.disk.open_log("log")
    await env.disk.sync_dir()

    async def serve(connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            what, argument = json.loads(frame.body)
            answer = await _answer(env, log, what, argument)
            connection.send(Frame(kind=2, body=json.dumps(answer).encode()))

    await env.network.listen("client", serve)
    await asyncio.Event().wait()


async def _answer(env: Env, log: LogFile, what: str, argument: Any) -> Any:
    if what == "clocks":
        return [env.clock.now(), env.clock.wall()]
    if what == "sleep":
        return await env.clock.sleep(argument)
    if what == "append":
        return log.append(argument.encode())
    if what == "sync_log":
        return await log.sync()
    if what == "write":
        return await env.disk.write(*argument[:1], argument[1].encode())
    if what == "files":
        return {name: (await env.disk.read(name) or b"").decode() for name in await env.disk.list_files()}
    return await getattr(env.disk, what)(*argument)
