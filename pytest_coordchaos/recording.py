"""Recording operations around the driver a suite already has."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Protocol

from pytest_coordchaos.errors import Failed, UsageError

__all__ = ["HandRecorder", "OperationRecord", "Processes"]

__tracebackhide__ = True  # pytest shows the line of the test that called, not ours


class HandRecorder(Protocol):
    """Where operations are recorded: `history.recorder.Recorder`, here or in a simulation's process."""

    def next_process(self) -> int:
        """A process number that was never handed out."""
        ...

    def invoke(self, process: int, f: str, key: Any, value: Any, /, *, node: str | None = None) -> int:
        """An operation begins; returns its id."""
        ...

    def ok(self, op_id: int, result: Any = None) -> None:
        """It happened."""
        ...

    def fail(self, op_id: int, error: str | None = None) -> None:
        """It surely did not happen."""
        ...

    def info(self, op_id: int, error: str | None = None) -> None:
        """Nobody knows."""
        ...


class Processes:
    """Hands out logical clients for operations recorded by hand: one operation at a time each.

    A client whose outcome is unknown is never used again (its operation stays open for ever).
    """

    def __init__(self, recorder: HandRecorder) -> None:
        self._recorder = recorder
        self._idle: list[int] = []
        self._lock = threading.Lock()

    def take(self) -> int:
        """The lowest idle client, or a new one."""
        with self._lock:
            return self._idle.pop(0) if self._idle else self._recorder.next_process()

    def give_back(self, process: int) -> None:
        """The client's operation ended with a known outcome."""
        with self._lock:
            self._idle = sorted([*self._idle, process])


class OperationRecord:
    """One operation being recorded; a context manager around the driver's call.

    Say `ok(result)` or `fail(reason)` inside. `Failed` raised inside means fail; any other exception,
    or leaving without a word, means that nobody knows (info). Exceptions go on to the caller.
    """

    def __init__(self, recorder: HandRecorder, processes: Processes, f: str, key: Any, value: Any, node: str | None) -> None:
        self._recorder = recorder
        self._processes = processes
        self._asked = (f, key, value, node)
        self._process = -1
        self._ended = False
        self.id = 0

    def __enter__(self) -> OperationRecord:
        f, key, value, node = self._asked
        self._process = self._processes.take()
        self.id = self._recorder.invoke(self._process, f, key, value, node=node)
        return self

    def ok(self, result: Any = None) -> None:
        """It happened; `result` is what came back (the value read)."""
        self._end()
        self._recorder.ok(self.id, result)
        self._processes.give_back(self._process)

    def fail(self, reason: str = "") -> None:
        """It surely did not happen."""
        self._end()
        self._recorder.fail(self.id, reason)
        self._processes.give_back(self._process)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._ended:
            return
        if isinstance(error, Failed):
            self.fail(str(error))
        else:
            self._ended = True
            self._recorder.info(self.id, f"{type(error).__name__}: {error}" if error else "left without ok() or fail()")

    def _end(self) -> None:
        if self.id == 0:
            raise UsageError("record(...): ok() and fail() belong inside its with block")
        if self._ended:
            raise UsageError("record(...): ok() or fail() was called twice for one operation")
        self._ended = True
