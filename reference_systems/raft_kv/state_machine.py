"""The replicated state: a key-value map and the client sessions that make retries safe. Pure, deterministic.

Sessions (thesis §6.3): a client registers through the log and numbers its commands; the state remembers
the last answer of each session and gives it again instead of doing the command twice. Sessions are
bounded: the one used least recently, in the order of the log, expires first, at the same entry everywhere.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

__all__ = ["WRITES", "StateMachine"]

WRITES = ("put", "cas", "delete")

_RECENT, _CHECKPOINTS = 16, 16  # digests of so many last entries, and of so many last multiples of it

Answer = dict[str, Any]


class StateMachine:
    """Apply commands in log order; every copy that applied the same entries is equal."""

    def __init__(self, max_sessions: int) -> None:
        self._max_sessions = max_sessions
        self._values: dict[str, Any] = {}
        # session -> [number of its last command, its answer]; least recently used first
        self._sessions: dict[int, tuple[int, Answer]] = {}
        self.digest = 0
        self._digests: dict[int, int] = {}

    def get(self, key: str) -> Any:
        """The value, None when absent."""
        return self._values.get(key)

    def apply(self, index: int, data: bytes) -> Answer:
        """Do the command of entry `index` (no JSON: nothing to do) and return the answer for its client.

        Answers have a `status`: "ok" with a `value`; "mismatch" (cas found another value, now in `value`);
        "expired" (the session is not known any more: not done); "stale" (a later command of the session came first: not done).
        """
        self._digest(index, data)
        if not data.startswith(b"{"):  # the no-op of a term, or who votes
            return {"status": "ok", "value": None}
        command = json.loads(data)
        if command["f"] == "register":
            self._touch(index, (0, {"status": "ok", "value": index}))
            while len(self._sessions) > self._max_sessions:
                del self._sessions[next(iter(self._sessions))]
            return {"status": "ok", "value": index}
        return self._apply_once(command)

    def _apply_once(self, command: dict[str, Any]) -> Answer:
        session, number = command["session"], command["number"]
        last = self._sessions.get(session)
        if last is None:
            return {"status": "expired"}
        if number < last[0]:
            return {"status": "stale"}
        answer = last[1] if number == last[0] else self._perform(command)
        self._touch(session, (number, answer))
        return answer

    def _touch(self, session: int, state: tuple[int, Answer]) -> None:
        self._sessions.pop(session, None)
        self._sessions[session] = state

    def _perform(self, command: dict[str, Any]) -> Answer:
        key: str = command["key"]
        value: Any = command.get("value")
        if command["f"] == "cas":
            expected, value = command["value"]
            if self._values.get(key) != expected:
                return {"status": "mismatch", "value": self._values.get(key)}
        if command["f"] == "delete" or value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
        return {"status": "ok", "value": None}

    def _digest(self, index: int, data: bytes) -> None:
        """Of all commands so far, in order: equal on all copies that applied the same."""
        self.digest = zlib.crc32(data, self.digest)
        self._digests[index] = self.digest
        if (index - _RECENT) % _RECENT:
            self._digests.pop(index - _RECENT, None)
        else:
            self._digests.pop(index - _RECENT * _CHECKPOINTS, None)

    def digests(self) -> list[list[int]]:
        """Entry and digest up to it, as pairs: the last entries, and some before them."""
        return [[index, digest] for index, digest in self._digests.items()]

    def dump(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        sessions = [[session, number, answer] for session, (number, answer) in self._sessions.items()]
        state = {"values": self._values, "sessions": sessions, "digest": self.digest}
        return json.dumps(state, sort_keys=True, separators=(",", ":")).encode()

    def load(self, data: bytes) -> None:
        """Become the state that `dump` wrote."""
        state = json.loads(data)
        self._values = state["values"]
        self.digest, self._digests = state["digest"], {}
        self._sessions = {session: (number, answer) for session, number, answer in state["sessions"]}
