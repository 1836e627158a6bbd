"""Orders to a node about its machine, and how its answer is read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pytest_coordchaos.faults.machines import MachineProbe, MachineState
from pytest_coordchaos.runtimes.base import NodeState
from pytest_coordchaos.runtimes.machine_orders import MachineOrders


def _said(number: int, sync_ms: float) -> str:
    readings = [[1.0, 1.0, 100.0, 100.0], [2.0, 2.0, 101.0, 101.0]]
    return json.dumps({"number": number, "readings": readings, "sync_ms": sync_ms, "full": False, "lost": 0})


def _ordered(texts: list[str | None], sync_ms: float) -> MachineProbe:
    """What a node that answers with these texts, one after the other, is found to be."""
    ordered: list[dict[str, Any]] = []

    async def put(_node: str, _name: str, text: str) -> None:
        ordered.append(json.loads(text))

    async def get(_node: str, _name: str) -> str | None:
        return texts.pop(0)

    async def announce(_node: str) -> None:
        assert ordered, "a node is told of an order before there is one"

    orders = MachineOrders(put, get, announce, lambda _node: NodeState.RUNNING)
    return asyncio.run(orders.set("n1", MachineState(sync_ms=sync_ms)))


@pytest.mark.parametrize("first", [None, "", _said(0, 0.0), _said(1, 200.0)[:-4], _said(1, 200.0)[:25]])
def test_an_answer_is_waited_for_while_there_is_none_an_old_one_or_a_part_of_one(first: str | None) -> None:
    texts = [first, _said(1, 200.0)]
    assert _ordered(texts, 200.0).ok
    assert not texts


def test_a_node_that_sees_something_else_is_not_believed_to_have_obeyed() -> None:
    assert not _ordered([_said(1, 100.0)], 200.0).ok
