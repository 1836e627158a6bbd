"""Waiting for readiness, in virtual time: when it ends, with which sentence, and that nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pytest_coordchaos.errors import StartError
from pytest_coordchaos.system.readiness import NodeProbe, Ready
from pytest_coordchaos.system.waiting import log_tail, wait_ready
from tests.unit.virtual_time import VirtualClock, run

Check = Callable[[NodeProbe], Awaitable[bool]]


class Nodes:
    """A runtime as waiting sees it: nodes exit at set times of the virtual clock."""

    def __init__(self, **exits: tuple[float, int]) -> None:
        self.exits = exits
        self.since_s = 0.0

    def exit_status(self, node: str) -> int | None:
        at_s, status = self.exits.get(node, (float("inf"), 0))
        return status if _now_s() - self.since_s >= at_s else None

    def command(self, node: str) -> str:
        return f"serve --id {node}"


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def wait(check: Check, *, nodes: Nodes | None = None, names: tuple[str, ...] = ("n1",), timeout_s: float = 10.0) -> float:
    """Wait on a virtual loop; returns the seconds it took."""
    lives = nodes or Nodes()

    async def story() -> float:
        lives.since_s = _now_s()
        probes = [NodeProbe(name=name, addresses={}, read_log=lambda: "one\ntwo\n") for name in names]
        await wait_ready(Ready(name="it answers", check=check), probes, lives, VirtualClock(), timeout_s)
        return _now_s() - lives.since_s

    return run(story())


async def never(probe: NodeProbe) -> bool:
    return False


def true_after(seconds: float) -> Check:
    """Refuses the connection, then holds."""
    since: list[float] = []

    async def check(probe: NodeProbe) -> bool:
        since.append(_now_s())
        if _now_s() - since[0] < seconds:
            raise ConnectionRefusedError(111, "Connection refused")
        return True

    return check


def test_a_ready_node_is_not_waited_for() -> None:
    assert wait(true_after(0)) < 0.01


@pytest.mark.parametrize("seconds", [0.02, 0.3, 4.0])
def test_readiness_is_noticed_within_a_twentieth_of_a_second(seconds: float) -> None:
    assert seconds <= wait(true_after(seconds)) <= seconds + 0.06


def test_nodes_are_asked_side_by_side() -> None:
    async def slow(probe: NodeProbe) -> bool:
        await asyncio.sleep(0.5)
        return True

    assert wait(slow, names=tuple(f"n{i}" for i in range(9))) < 0.6


def test_a_timeout_names_condition_node_time_last_answer_and_log() -> None:
    with pytest.raises(StartError) as caught:
        wait(true_after(100), timeout_s=3)

    assert str(caught.value) == (
        "Node n1 was not ready within 3 s, waiting for 'it answers'; last answer: [Errno 111] Connection refused "
        "(command: serve --id n1)\n    | one\n    | two"
    )


def test_the_limit_holds_for_a_check_that_hangs() -> None:
    """Each check is cut after a second, and asked again."""
    asked: list[float] = []

    async def hangs(probe: NodeProbe) -> bool:
        asked.append(_now_s())
        await asyncio.sleep(3600)
        return True

    with pytest.raises(StartError, match=r"not ready within 3\.5 s.*last answer: no answer within 1 s"):
        wait(hangs, timeout_s=3.5)
    assert len(asked) == 4


@pytest.mark.parametrize(("status", "how"), [(3, "exit status 3"), (-9, "signal 9"), (0, "exit status 0")])
def test_an_exited_node_ends_the_waiting_at_once(status: int, how: str) -> None:
    """Also while its check hangs and while other nodes are fine."""

    async def hangs_on_n2(probe: NodeProbe) -> bool:
        if probe.name == "n2":
            await asyncio.sleep(3600)
        return True

    with pytest.raises(StartError, match=rf"Node n2 exited with {how} after 0\.3\d s, waiting for 'it answers' .*serve --id n2"):
        wait(hangs_on_n2, nodes=Nodes(n2=(0.3, status)), names=("n1", "n2"))


def test_a_broken_check_is_not_taken_for_not_yet() -> None:
    async def broken(probe: NodeProbe) -> bool:
        raise TypeError("no such argument")

    with pytest.raises(StartError, match=r"The check 'it answers' of node n1 is broken: TypeError\('no such argument'\)"):
        wait(broken)


def test_a_condition_that_never_holds_says_so() -> None:
    with pytest.raises(StartError, match="the condition does not hold yet"):
        wait(never, timeout_s=0.2)


def test_cancelling_the_wait_leaves_no_check_running() -> None:
    """`run` asserts that no task is left on its loop."""

    async def story() -> None:
        probe = NodeProbe(name="n1", addresses={})
        waiting = asyncio.ensure_future(wait_ready(Ready(name="x", check=never), [probe], Nodes(), VirtualClock(), 60))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(story())


def test_the_log_tail_is_the_last_lines_oldest_first() -> None:
    assert log_tail("".join(f"{i}\n" for i in range(30)), 3) == ("27", "28", "29")
    assert log_tail("") == ()
