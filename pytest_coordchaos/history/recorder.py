"""Records operations as they happen, in memory and in a file that survives a crash."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.history.jsonl import HEADER, encode_line, ended
from pytest_coordchaos.history.model import INFINITY_NS, History, Operation, Outcome

__all__ = ["Recorder"]

_IMMUTABLE = (str, int, float, bool, bytes, type(None))


class Recorder:
    """The history of one cluster, while it is made. Safe to use from any thread.

    Each event is one line and one write to a file opened for appending, so that a crash loses at most
    the operations in flight.

    Args:
        path: The file; it must not exist yet. None: in memory only.
        now_ns: The clock; called under the recorder's lock, so that the file's order is the order in time.

    Raises:
        UsageError: The file exists already: histories are never overwritten.
    """

    def __init__(self, path: Path | None, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._operations: dict[int, Operation] = {}
        self._open: set[int] = set()
        self._next_id = 1
        self._next_process = 0
        self._fd = None if path is None else _create(path)
        self._write(HEADER)

    def next_process(self) -> int:
        """A process number that was never handed out."""
        with self._lock:
            self._next_process += 1
            return self._next_process - 1

    def invoke(
        self, process: int, request_f: str, key: Any, value: Any, *, intended_ns: int | None = None, node: str | None = None
    ) -> int:
        """An operation begins now.

        Args:
            process: The logical client.
            request_f, key, value: What it asks; containers are copied.
            intended_ns: When the schedule wanted it to begin; None: now.
            node: The node the client is connected to.

        Returns:
            The operation's id, from 1.
        """
        key, value = _snapshot(key), _snapshot(value)
        with self._lock:
            now_ns, op_id = self._now_ns(), self._next_id
            intended = now_ns if intended_ns is None else intended_ns
            op = Operation(
                id=op_id,
                process=process,
                f=request_f,
                key=key,
                value=value,
                outcome=Outcome.INFO,
                intended_ns=intended,
                invoke_ns=now_ns,
                return_ns=INFINITY_NS,
                ended_ns=now_ns,
                node=node,
            )
            self._next_id += 1
            self._next_process = max(self._next_process, process + 1)
            self._operations[op_id] = op
            self._open.add(op_id)
            self._write(_invoke_event(op))
            return op_id

    def ok(self, op_id: int, result: Any = None) -> None:
        """It happened; `result` is what came back. Ignored when the operation has ended already."""
        self._end(op_id, Outcome.OK, _snapshot(result), None)

    def fail(self, op_id: int, error: str | None = None) -> None:
        """It surely did not happen. Ignored when the operation has ended already."""
        self._end(op_id, Outcome.FAIL, None, error)

    def info(self, op_id: int, error: str | None = None) -> None:
        """Nobody knows whether it happened; it stays open for ever, whatever a late answer says."""
        self._end(op_id, Outcome.INFO, None, error)

    def history(self, since_ns: int | None = None) -> History:
        """What was invoked at or after `since_ns` (None: everything); open operations count as info, given up now."""
        with self._lock:
            now_ns = self._now_ns()
            operations = [
                replace(op, ended_ns=now_ns) if op.id in self._open else op
                for op in self._operations.values()
                if since_ns is None or op.invoke_ns >= since_ns
            ]
        return History.of(operations)

    def all(self) -> History:
        """Everything so far."""
        return self.history()

    def close(self) -> None:
        """Close the file. The memory stays readable; later events are kept in memory only. May be called twice."""
        with self._lock:
            fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _end(self, op_id: int, outcome: Outcome, result: Any, error: str | None) -> None:
        with self._lock:
            if op_id not in self._operations:
                raise UsageError(f"Recorder: operation {op_id} was never invoked; ids run from 1 to {self._next_id - 1}")
            if op_id not in self._open:  # a blocking call that answered after it was given up
                return
            self._open.remove(op_id)
            op = ended(self._operations[op_id], outcome, self._now_ns(), result, error)
            self._operations[op_id] = op
            self._write(_end_event(op))

    def _write(self, event: Any) -> None:
        if self._fd is None:
            return
        line = encode_line(event)
        if os.write(self._fd, line) != len(line):
            raise OSError(f"history file: only a part of {len(line)} bytes was written; is the disk full?")


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise UsageError(f"Recorder: {path} exists already; histories are never overwritten, give another path") from None


def _snapshot(value: Any) -> Any:
    """The value as it is now, whatever its owner does to it later."""
    if isinstance(value, _IMMUTABLE):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # sockets, locks: nothing that a history could compare anyway
        return repr(value)


def _invoke_event(op: Operation) -> dict[str, object]:
    event: dict[str, object] = {"type": "invoke", "id": op.id, "process": op.process, "f": op.f, "time": op.invoke_ns}
    extras = {"key": op.key, "value": op.value, "node": op.node}
    event |= {name: value for name, value in extras.items() if value is not None}
    return event if op.intended_ns == op.invoke_ns else event | {"intended": op.intended_ns}


def _end_event(op: Operation) -> dict[str, object]:
    event: dict[str, object] = {"type": op.outcome.value, "id": op.id, "time": op.ended_ns}
    extras = {"result": op.result, "error": op.error}
    return event | {name: value for name, value in extras.items() if value is not None}
