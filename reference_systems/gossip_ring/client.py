"""The client of generated workloads, and of anybody else who asks one node: f in lookup, members, events, ring, leave."""

from __future__ import annotations

from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.gossip_ring.messages import REQUEST, RESPONSE
from reference_systems.kit.asking import Asking

__all__ = ["client"]


async def _connect(cluster: Any, node: str) -> Asking:
    asking = Asking(cluster, node)
    await asking.connect()
    return asking


async def _call(connection: Asking, call: Call) -> Any:
    """Ask once. A lookup gives {"owner", "hops"}; members: name -> [state, incarnation]; events and ring: see README.

    Raises:
        Failed: It was not done: the node said so, or it only asked and no answer came.
        ConnectionResetError, TimeoutError: Whether the node left, nobody knows.
    """
    try:
        answer = await connection.ask(REQUEST, RESPONSE, operation=call.id, body={"f": call.f, "key": call.key})
    except (OSError, ValueError) as error:
        if call.f != "leave":
            raise Failed(f"{connection.node}: {error}") from error
        raise
    if answer["status"] != "ok":
        raise Failed(answer["reason"])
    return answer["value"]


async def _close(connection: Asking) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads."""
