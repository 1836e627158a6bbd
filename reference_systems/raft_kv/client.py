"""The client of generated workloads: follows the leader, retries safely, and is honest about what it does not know.

Writes belong to a session and carry a number (thesis §6.3): the same number tried again is done at most
once, so every retry within a call is safe. `Failed` is raised only when no attempt can have been done.
Reads change nothing: a read without an answer has failed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from pytest_coordchaos import Call, Client, Failed
from reference_systems.kit.asking import Asking, NotAsked
from reference_systems.raft_kv.wire import REQUEST, RESPONSE, STATUS, STATUS_OK

__all__ = ["RaftClient", "SessionExpired", "client", "client_at_home"]

READS = ("get", "state")
ADMIN = ("transfer", "reconfigure")  # done twice is done once
_PAUSE_S = 0.025
_ATTEMPT_S = 0.4  # above an election timeout: a leader that was cut off says so within it
_OWN_SHARE = 0.95  # of the call's timeout: the client knows better than its driver what surely did not happen


class SessionExpired(Exception):
    """The session was forgotten while the outcome of an earlier attempt was open: nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """The operation happened; this is its result."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """Not done by this attempt, or nobody knows: why, and whether to wait before the next."""

    reason: str
    pause: bool = True


class RaftClient:
    """One logical client: one call at a time, one connection at a time.

    Args:
        cluster: Gives `nodes` and `open_connection(node, port)`.
        node: Where it starts; it follows redirects to the leader by name.
        at_home: It starts there with every call.
    """

    def __init__(self, cluster: Any, node: str, *, at_home: bool = False) -> None:
        self.asking = Asking(cluster, node)
        self._at_home = at_home
        self._node = node
        self._session = 0
        self._number = 0
        self._uncertain = False

    async def call(self, call: Call) -> Any:
        """Perform one operation within its timeout; returns the value of a get, whether a cas matched, None for put and
        delete, and of `state` what the node says of itself (`node.RaftNode.status`).

        Raises:
            Failed: It surely did not happen.
            TimeoutError, SessionExpired: Nobody knows.
        """
        self._uncertain = False
        self._number += 1
        if self._at_home:
            self.asking.go_to(self._node)
        reason = "no node answered"
        deadline = asyncio.get_running_loop().time() + _OWN_SHARE * call.timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                while not isinstance(outcome := await self._attempt(call), _Done):
                    reason = outcome.reason
                    if outcome.pause:
                        await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            if call.f in READS or not self._uncertain:
                raise Failed(f"{call.f} was not done within {call.timeout_s} s: {reason}") from None
            raise TimeoutError(f"{call.f} may or may not have happened: {reason}") from None
        return outcome.value

    async def _attempt(self, call: Call) -> _Done | _Again:
        """Ask one node once."""
        if call.f == "state":
            return await self._state(call)
        body = {"f": call.f, "key": call.key}
        if call.f not in (*READS, *ADMIN):
            if not self._session:
                answer = await self._ask(0, {"f": "register"}, call.timeout_s)
                if answer["status"] != "ok":
                    return self._follow(answer)
                self._session = answer["value"]
            body |= {"value": call.value, "session": self._session, "number": self._number}
        elif call.f in ADMIN:
            body |= {"value": call.value}
        before, self._uncertain = self._uncertain, True
        answer = await self._ask(call.id, body, call.timeout_s)
        if answer["status"] not in ("lost", "unknown"):
            self._uncertain = before  # this attempt was answered for good; an earlier one may be open
        return self._judge(call, answer)

    async def _state(self, call: Call) -> _Done | _Again:
        self.asking.go_to(self._node)
        answer = await self._ask(call.id, None, call.timeout_s)
        return _Again(reason=answer["reason"]) if answer.get("status") in ("refused", "lost") else _Done(value=answer)

    def _judge(self, call: Call, answer: dict[str, Any]) -> _Done | _Again:
        status = answer["status"]
        if status == "ok":
            return _Done(value=True if call.f == "cas" else answer["value"])
        if status == "mismatch":
            return _Done(value=False)  # an answer like a read's: the store said what the key does not hold
        if status == "expired":
            if self._uncertain:
                raise SessionExpired(f"{call.f} may or may not have happened: session {self._session} expired meanwhile")
            self._session = 0
            return _Again(reason="the session expired", pause=False)
        if status == "bad_request":
            raise Failed(answer["reason"])
        return self._follow(answer)

    def _follow(self, answer: dict[str, Any]) -> _Again:
        """Where to ask next: the leader if one is named, else the next node."""
        leader: str | None = answer.get("leader")
        redirected = leader is not None and leader != self.asking.node
        if leader is not None and redirected and answer["status"] != "busy":
            self.asking.go_to(leader)
        elif answer["status"] != "busy":
            self.asking.go_on()
        return _Again(reason=answer.get("reason") or f"{answer['status']}, leader {leader}", pause=not redirected)

    async def _ask(self, operation: int, body: dict[str, Any] | None, timeout_s: float) -> dict[str, Any]:
        """The node's answer (body None: its own state); status "refused": it was never asked, "lost": it did not answer."""
        classes = (STATUS, STATUS_OK) if body is None else (REQUEST, RESPONSE)
        try:
            return await self.asking.ask(*classes, operation=operation, body=body, timeout_s=max(_ATTEMPT_S, timeout_s / 4))
        except (OSError, ValueError) as error:
            status = "refused" if isinstance(error, NotAsked) else "lost"
            return {"status": status, "reason": f"{self.asking.node}: {str(error) or type(error).__name__}"}

    def close(self) -> None:
        """End the connection; the next call makes another. Idempotent."""
        self.asking.close()


async def _connect(cluster: Any, node: str) -> RaftClient:
    return RaftClient(cluster, node)


async def _connect_at_home(cluster: Any, node: str) -> RaftClient:
    return RaftClient(cluster, node, at_home=True)


async def _call(connection: RaftClient, call: Call) -> Any:
    return await connection.call(call)


async def _close(connection: RaftClient) -> None:
    connection.close()


client = Client(connect=_connect, call=_call, close=_close)
"""The client record for workloads: f in get, put, cas (value [expected, new]) and delete, keys are strings; and of nodes:
state, transfer (value: the successor), reconfigure (value: the nodes that shall vote, one more or one less)."""

client_at_home = Client(connect=_connect_at_home, call=_call, close=_close)
"""The same, but every call starts at the client's own node: so there are clients on each side of a partition."""
