"""The client of generated workloads: finds the coordinator, retries safely, and is honest about what it does not know.

A transfer is named by its idempotency key and is charged at most once, so every retry within a call is safe. `Failed` is
raised only when no attempt can have been done: an attempt that nobody answered may still come true after a later one was
refused, so that from then on only "done" is an answer. Reads change nothing: a read without an answer has failed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.asking import Asking, NotAsked
from reference_systems.payments_2pc.messages import REQUEST, RESPONSE
from reference_systems.payments_2pc.requests import REPORTS

__all__ = ["PaymentClient", "client"]

_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.16
_ATTEMPT_S = 1.0  # above the time that a coordinator waits for votes
_OWN_SHARE = 0.95  # of the call's timeout: the client knows better than its driver what surely did not happen

Answer = dict[str, Any]


class PaymentClient:
    """One logical client: one call at a time, one connection at a time.

    Args:
        cluster: Gives `nodes` and `open_connection(node, port)`.
        node: Where it starts; it follows redirects to the coordinator by name. Reports are asked of this very node.
    """

    def __init__(self, cluster: Any, node: str) -> None:
        self.asking = Asking(cluster, node)
        self._node = node
        self._uncertain = False

    async def call(self, call: Call) -> Any:
        """Perform one operation within its timeout.

        `transfer` (key: the idempotency key; value: `[[account, amount], …]` or `{"from", "to", "amount"}`) gives None,
        `balance` (key: the account) the money, `total` all balances by account, a report what the node says of itself.

        Raises:
            Failed: It surely did not happen.
            TimeoutError: Nobody knows.
        """
        self._uncertain = False
        if call.f in REPORTS:
            self.asking.go_to(self._node)
        deadline = asyncio.get_running_loop().time() + _OWN_SHARE * call.timeout_s
        answer: Answer = {"status": "refused", "reason": "no node answered"}
        tries = 0
        try:
            async with asyncio.timeout_at(deadline):
                while (answer := await self._attempt(call))["status"] != "ok":
                    tries += 1
                    await self._before_another(call, answer, tries)
        except TimeoutError:
            reason = answer.get("reason", answer["status"])
            if call.f != "transfer" or not self._uncertain:
                raise Failed(f"{call.f} was not done within {call.timeout_s} s: {reason}") from None
            raise TimeoutError(f"{call.f} may or may not have happened: {reason}") from None
        return answer["value"].get(call.key) if call.f == "balance" else answer["value"] if call.f != "transfer" else None

    async def _attempt(self, call: Call) -> Answer:
        """Ask one node once. An earlier attempt without an answer stays possible whatever a later one is told."""
        body = {"f": call.f, "key": call.key, "value": call.value}
        before, self._uncertain = self._uncertain, True
        answer = await self._ask(call.id, body)
        if answer["status"] != "lost":
            self._uncertain = before
        if answer["status"] in ("insufficient", "bad_request") and not self._uncertain:
            raise Failed(answer["reason"])
        return answer

    async def _before_another(self, call: Call, answer: Answer, tries: int) -> None:
        """Where to ask next, and when: clients that collided come back at different times."""
        if answer["status"] == "not_coordinator":
            self.asking.go_to(answer["coordinator"])
            return
        if answer["status"] in ("refused", "lost") and call.f not in REPORTS:
            self.asking.go_on()
        await asyncio.sleep(min(_PAUSE_S * 2 ** min(tries, 5), _LONGEST_PAUSE_S) * (1 + call.id % 7 / 7))

    async def _ask(self, operation: int, body: object) -> Answer:
        """The node's answer; status "refused": it was never asked, "lost": it did not answer."""
        try:
            return await self.asking.ask(REQUEST, RESPONSE, operation=operation, body=body, timeout_s=_ATTEMPT_S)
        except (OSError, ValueError) as error:
            status = "refused" if isinstance(error, NotAsked) else "lost"
            return {"status": status, "reason": f"{self.asking.node}: {str(error) or type(error).__name__}"}

    def close(self) -> None:
        """End the connection; the next call makes another. Idempotent."""
        self.asking.close()


async def _connect(cluster: Any, node: str) -> PaymentClient:
    return PaymentClient(cluster, node)


async def _call(connection: PaymentClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: PaymentClient) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads."""
