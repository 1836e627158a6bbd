"""The client: puts at the first node, gets at the last, and is honest about what it does not know."""

from __future__ import annotations

from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.asking import Asking
from reference_systems.skeleton.node import REQUEST, RESPONSE

__all__ = ["ChainClient", "client"]


class ChainClient:
    """One logical client: one call at a time.

    Args:
        cluster: Gives `nodes` and `open_connection(node, port)`.
    """

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._asking: dict[str, Asking] = {}

    async def call(self, call: Call) -> Any:
        """Perform one operation: the value of a get, None for a put.

        Raises:
            Failed: It surely did not happen.
            ConnectionError: Nobody knows.
        """
        node = self._cluster.nodes[-1 if call.f == "get" else 0]
        try:
            if node not in self._asking:
                self._asking[node] = Asking(node, *await self._cluster.open_connection(node, "client"))
        except OSError as error:
            raise Failed(f"{node} cannot be reached: {error}") from error
        answer = await self._ask(node, call)
        if answer["status"] == "refused" or (call.f == "get" and answer["status"] != "ok"):
            raise Failed(answer["reason"])
        if answer["status"] != "ok":
            raise ConnectionError(f"nobody knows whether the {call.f} happened")
        return answer.get("value")

    async def _ask(self, node: str, call: Call) -> dict[str, Any]:
        """The node's answer; "unknown" when there is none."""
        body = {"f": call.f, "key": call.key, "value": call.value}
        try:
            return await self._asking[node].ask(REQUEST, RESPONSE, operation=call.id, body=body)
        except (OSError, ValueError):
            self.close()
            return {"status": "unknown", "reason": f"{node} did not answer"}

    def close(self) -> None:
        """End the connections; the next call makes others. Idempotent."""
        for asking in self._asking.values():
            asking.close()
        self._asking = {}


async def _connect(cluster: Any, node: str) -> ChainClient:
    return ChainClient(cluster)


async def _call(connection: ChainClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: ChainClient) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in get and put; keys are strings."""
