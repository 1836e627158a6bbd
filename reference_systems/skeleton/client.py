"""The client: puts at the first node, gets at the last, and is honest about what it does not know."""

from __future__ import annotations

from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.asking import Asking, NotAsked
from reference_systems.skeleton.node import REQUEST, RESPONSE

__all__ = ["ChainClient", "client"]


class ChainClient:
    """One logical client: one call at a time.

    Args:
        cluster: Gives `nodes` and `open_connection(node, port)`.
    """

    def __init__(self, cluster: Any) -> None:
        self.head, self.tail = Asking(cluster, cluster.nodes[0]), Asking(cluster, cluster.nodes[-1])

    async def call(self, call: Call) -> Any:
        """Perform one operation: the value of a get, None for a put.

        Raises:
            Failed: It surely did not happen.
            ConnectionError: Nobody knows.
        """
        answer = await _ask(self.tail if call.f == "get" else self.head, call)
        if answer["status"] == "refused" or (call.f == "get" and answer["status"] != "ok"):
            raise Failed(answer["reason"])
        if answer["status"] != "ok":
            raise ConnectionError(f"nobody knows whether the {call.f} happened")
        return answer.get("value")


async def _ask(asking: Asking, call: Call) -> dict[str, Any]:
    """The node's answer; "refused": it was never asked, "unknown": it did not answer."""
    body = {"f": call.f, "key": call.key, "value": call.value}
    try:
        return await asking.ask(REQUEST, RESPONSE, operation=call.id, body=body)
    except NotAsked as error:
        return {"status": "refused", "reason": f"{asking.node} {error}"}
    except (OSError, ValueError) as error:
        return {"status": "unknown", "reason": f"{asking.node}: {str(error) or type(error).__name__}"}


async def _connect(cluster: Any, node: str) -> ChainClient:
    return ChainClient(cluster)


async def _call(connection: ChainClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: ChainClient) -> None:
    connection.head.close()
    connection.tail.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in get and put; keys are strings."""
