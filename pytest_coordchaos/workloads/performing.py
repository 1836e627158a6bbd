"""One operation from invocation to end, recorded as Jepsen has it: ok happened, fail surely did not, info nobody knows."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from pytest_coordchaos.errors import Failed
from pytest_coordchaos.history.model import Outcome
from pytest_coordchaos.workloads.calling import Caller
from pytest_coordchaos.workloads.model import Call, Client, Request

__all__ = ["Recording", "perform"]

_ERROR_CHARS = 300


class Recording(Protocol):
    """Where operations are recorded (`history.recorder.Recorder`)."""

    def next_process(self) -> int:
        """A process number that nobody has had."""
        ...

    def invoke(
        self, process: int, f: str, key: Any, value: Any, /, *, intended_ns: int | None = None, node: str | None = None
    ) -> int:
        """An operation starts; returns its id."""
        ...

    def ok(self, op_id: int, result: Any, /) -> None:
        """It happened."""
        ...

    def fail(self, op_id: int, error: str, /) -> None:
        """It surely did not happen."""
        ...

    def info(self, op_id: int, error: str, /) -> None:
        """Nobody knows."""
        ...


async def perform(
    request: Request,
    *,
    client: Client,
    connection: Any,
    caller: Caller,
    recorder: Recording,
    process: int,
    node: str,
    timeout_s: float,
    intended_ns: int | None = None,
) -> tuple[Outcome, Any]:
    """Ask, and record what came of it; returns how it ended, and the result (None unless ok).

    Args:
        request: What to ask.
        client, connection, caller: How.
        recorder: Told of the operation.
        process, node: Who asks, and whom.
        timeout_s: Seconds until the outcome is info.
        intended_ns: When the schedule wanted it to start; None: now.
    """
    op_id = recorder.invoke(process, request.f, request.key, request.value, intended_ns=intended_ns, node=node)
    call = Call(id=op_id, request=request, timeout_s=timeout_s)
    try:
        async with asyncio.timeout(timeout_s) as limit:
            result = await caller.call(client.call, connection, call)
    except Failed as error:
        recorder.fail(op_id, _text(error))
        return Outcome.FAIL, None
    except Exception as error:
        expired = isinstance(error, TimeoutError) and limit.expired()
        recorder.info(op_id, f"no answer within {timeout_s:g} s" if expired else _text(error))
        return Outcome.INFO, None
    except BaseException as error:  # cancelled or interrupted: the operation may have been sent
        recorder.info(op_id, _text(error))
        raise
    recorder.ok(op_id, result)
    return Outcome.OK, result


def _text(error: BaseException) -> str:
    said, kind = str(error), type(error).__name__
    return (said or kind if isinstance(error, Failed) else f"{kind}: {said}" if said else kind)[:_ERROR_CHARS]
