"""The last questions to every node: repeated until the answers satisfy, recorded, and bounded in time. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pytest_coordchaos.checkers.finals import last_answers
from pytest_coordchaos.errors import Failed
from pytest_coordchaos.history.model import History, Outcome
from pytest_coordchaos.history.recorder import Recorder
from pytest_coordchaos.workloads.final import ask_nodes
from pytest_coordchaos.workloads.model import Call, Client, Final, Request
from tests.unit.virtual_time import VirtualClock, run

NODES = ("n1", "n2", "n3")
STATE = (Request(f="state"),)


class Nodes:
    """Three nodes that agree from their third answer on."""

    def __init__(self, deaf: str = "", failing: str = "") -> None:
        self.deaf, self.failing = deaf, failing
        self.asked = dict.fromkeys(NODES, 0)
        self.open = 0

    async def connect(self, cluster: Any, node: str) -> str:
        if node == self.deaf:
            raise ConnectionRefusedError(node)
        self.open += 1
        return node

    async def call(self, node: str, call: Call) -> Any:
        await asyncio.sleep(0.01)
        self.asked[node] += 1
        if node == self.failing:
            raise Failed("not now")
        return "same" if self.asked[node] >= 3 else node

    async def close(self, node: str) -> None:
        self.open -= 1


def asked(nodes: Nodes, final: Final) -> tuple[bool, History, float]:
    """Whether the answers satisfied, what was recorded, and how long it took."""

    async def work() -> tuple[bool, History, float]:
        clock = VirtualClock()
        recorder, start_ns = Recorder(None, clock.now_ns), clock.now_ns()
        client = Client(connect=nodes.connect, call=nodes.call, close=nodes.close)
        good = await ask_nodes(final, client, None, recorder, clock=clock, nodes=NODES, timeout_s=1.0)
        return good, recorder.all(), (clock.now_ns() - start_ns) / 1e9

    return run(work())


def equal(answers: Mapping[str, Mapping[str, Any]]) -> bool:
    return len({answer["state"] for answer in answers.values()}) == 1


def test_every_node_is_asked_until_the_answers_satisfy() -> None:
    nodes = Nodes()
    good, history, _ = asked(nodes, Final(requests=STATE, until=equal))

    assert good
    assert nodes.asked == dict.fromkeys(NODES, 3)
    assert {node: op.result for node, op in last_answers(history, "state").items()} == dict.fromkeys(NODES, "same")
    assert len(history) == 9
    assert nodes.open == 0


def test_without_a_condition_one_answer_of_each_is_enough() -> None:
    good, history, _ = asked(Nodes(), Final(requests=(Request(f="state"), Request(f="log", key=1))))

    assert good
    assert [(op.f, op.node) for op in history][:3] == [("state", node) for node in NODES]
    assert len(history) == 6


def test_it_gives_up_in_time_and_what_was_answered_stays() -> None:
    def never(answers: object) -> bool:
        return False

    good, history, took_s = asked(Nodes(), Final(requests=STATE, until=never, within_s=5.0))

    assert not good
    assert 5.0 <= took_s < 5.5
    assert len(history) > 9


def _unsatisfied(nodes: Nodes) -> History:
    told: Callable[[object], bool] = lambda answers: True  # noqa: E731 - only asked when every node has answered
    good, history, _ = asked(nodes, Final(requests=STATE, until=told, within_s=1.0))
    assert not good
    return history


def test_a_node_that_cannot_be_reached_is_no_answer() -> None:
    assert set(last_answers(_unsatisfied(Nodes(deaf="n2")), "state")) == {"n1", "n3"}


def test_a_node_that_refuses_is_no_answer_either() -> None:
    history = _unsatisfied(Nodes(failing="n2"))

    assert set(last_answers(history, "state")) == {"n1", "n3"}
    assert {op.outcome for op in history if op.node == "n2"} == {Outcome.FAIL}
