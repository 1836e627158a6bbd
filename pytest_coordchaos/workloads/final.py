"""Asks every node when everything is over, until the answers satisfy (`Workload.final`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pytest_coordchaos.clock import Clock
from pytest_coordchaos.history.model import Outcome
from pytest_coordchaos.workloads.calling import Caller
from pytest_coordchaos.workloads.model import Client, Final
from pytest_coordchaos.workloads.performing import Recording, perform

__all__ = ["ask_nodes"]

_PAUSE_S, _PAUSE_MAX_S = 0.05, 0.4


async def ask_nodes(
    final: Final, client: Client, cluster: Any, recorder: Recording, *, clock: Clock, nodes: Sequence[str], timeout_s: float
) -> bool:
    """Ask until `final` is satisfied; False when it was not in time.

    Args:
        final: What to ask, and until when.
        client: How.
        cluster: Handed to `client.connect`.
        recorder: Told of every operation.
        clock: Waits and the time limit count on it.
        nodes: Whom.
        timeout_s: A call that takes longer is recorded as info.
    """
    deadline_ns, pause_s = clock.now_ns() + int(final.within_s * 1e9), _PAUSE_S
    while True:
        asked = [_ask(node, final, client, cluster, recorder, timeout_s) for node in nodes]
        answers = dict(zip(nodes, await asyncio.gather(*asked), strict=True))
        complete = all(len(answer) == len(final.requests) for answer in answers.values())
        if complete and (final.until is None or final.until(answers)):
            return True
        if clock.now_ns() >= deadline_ns:
            return False
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)


async def _ask(node: str, final: Final, client: Client, cluster: Any, recorder: Recording, timeout_s: float) -> dict[str, Any]:
    """What the node answers over a new connection, by `f`; requests without an answer are not in it."""
    caller, process = Caller(f"coordchaos-final-{node}"), recorder.next_process()
    answers: dict[str, Any] = {}
    try:
        async with asyncio.timeout(timeout_s):
            connection = await caller.call(client.connect, cluster, node)
        for request in final.requests:
            outcome, result = await perform(
                request,
                client=client,
                connection=connection,
                caller=caller,
                recorder=recorder,
                process=process,
                node=node,
                timeout_s=timeout_s,
            )
            if outcome is not Outcome.OK:
                break  # an operation of unknown outcome ends its process (Jepsen); the next pass asks again
            answers[request.f] = result
        if client.close is not None:
            async with asyncio.timeout(timeout_s):
                await caller.call(client.close, connection)
    except Exception:
        pass  # a node that cannot be reached has not answered; invariants say what that means
    finally:
        caller.release()
    return answers
