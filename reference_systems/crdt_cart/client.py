"""The client of generated workloads: keeps to its node, retries safely, is honest about what it does not know.

A frame's operation id names the operation: the node remembers it, durably, so that a retry there is not done twice.
`Failed` is raised only when no attempt can have been done. Reads change nothing: one without an answer has failed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.crdt_cart.messages import REQUEST, RESPONSE
from reference_systems.kit.asking import Asking

__all__ = ["CartClient", "client"]

_PAUSE_S = 0.025
_OWN_SHARE = 0.95  # of the call's timeout: the client knows better than its driver what surely did not happen


class CartClient:
    """One logical client of one node: one call at a time.

    Args:
        cluster: Gives `open_connection(node, port)`.
        node: Which replica it shops at.
    """

    def __init__(self, cluster: Any, node: str) -> None:
        self.asking = Asking(cluster, node)
        self._sent = False

    async def call(self, call: Call) -> Any:
        """Perform one operation within its timeout; returns the cart of a read, the ids of the removed adds of a remove.

        Raises:
            Failed: It surely did not happen.
            TimeoutError: Nobody knows.
        """
        self._sent, reason = False, "no answer"
        try:
            async with asyncio.timeout(_OWN_SHARE * call.timeout_s):
                while True:
                    try:
                        return _value(await self._ask(call))
                    except (OSError, ValueError) as error:
                        reason = str(error) or type(error).__name__
                        await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            if call.f in ("add", "remove") and self._sent:
                raise TimeoutError(f"{call.f} may or may not have happened: {reason}") from None
            raise Failed(f"{call.f} was not done within {call.timeout_s} s: {reason}") from None

    async def _ask(self, call: Call) -> dict[str, Any]:
        await self.asking.connect()
        self._sent = True
        body = {"f": call.f, "item": call.key, "quantity": 1 if call.value is None else call.value}
        return await self.asking.ask(REQUEST, RESPONSE, operation=call.id, body=body)

    def close(self) -> None:
        """End the connection; the next call makes another. Idempotent."""
        self.asking.close()


def _value(answer: dict[str, Any]) -> Any:
    if answer["status"] != "ok":
        raise Failed(answer["reason"])
    return answer["value"]


async def _connect(cluster: Any, node: str) -> CartClient:
    connection = CartClient(cluster, node)
    await connection.asking.connect()  # a node that is down has taken no order yet
    return connection


async def _call(connection: CartClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: CartClient) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in add (key the item, value the quantity), remove, read, state and stats."""
