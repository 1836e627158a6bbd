"""The client: `acquire` of a key with a limit a second; True: admitted, False: denied."""

from __future__ import annotations

from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.asking import Asking
from reference_systems.rate_limiter.node import REQUEST, RESPONSE

__all__ = ["client"]


async def _connect(cluster: Any, node: str) -> Asking:
    asking = Asking(cluster, node)
    await asking.connect()
    return asking


async def _call(connection: Asking, call: Call) -> bool:
    answer = await connection.ask(REQUEST, RESPONSE, operation=call.id, body={"key": call.key, "value": call.value})
    if answer["status"] == "unavailable":
        raise Failed(answer["reason"])
    if answer["status"] != "ok":
        raise ConnectionError(answer["reason"])
    return bool(answer["value"])


async def _close(connection: Asking) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f is acquire; the value is the limit."""
