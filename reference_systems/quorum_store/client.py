"""The client: any node will do; it stays with its own, and is honest about what it does not know."""

from __future__ import annotations

from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.asking import Asking, NotAsked
from reference_systems.quorum_store.node import REQUEST, RESPONSE

__all__ = ["client"]


async def _connect(cluster: Any, node: str) -> Asking:
    asking = Asking(cluster, node)
    await asking.connect()
    return asking


async def _call(connection: Asking, call: Call) -> Any:
    try:
        body = {"f": call.f, "key": call.key, "value": call.value}
        answer = await connection.ask(REQUEST, RESPONSE, operation=call.id, body=body)
    except OSError as error:
        if call.f == "get" or isinstance(error, NotAsked):
            raise Failed(f"{connection.node}: {error}") from error
        raise
    if answer["status"] == "failed":
        raise Failed(answer["reason"])
    if answer["status"] != "ok":
        raise ConnectionError(answer["reason"])
    return answer["value"]


async def _close(connection: Asking) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in get and put; keys are strings."""
