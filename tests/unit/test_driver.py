"""The driver: operation semantics, schedules and time limits, in virtual time, on a real recorder."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from pytest_coordchaos.clock import SystemClock
from pytest_coordchaos.errors import Failed
from pytest_coordchaos.history.model import History, Outcome
from pytest_coordchaos.history.recorder import Recorder
from pytest_coordchaos.workloads.driver import Driven, drive
from pytest_coordchaos.workloads.model import Call, Client, Request, Workload
from tests.unit.virtual_time import VirtualClock, run

NODES = ("n1", "n2", "n3")
Answer = Callable[[str, Call], Awaitable[Any]]
Connecting = Callable[[Any, str], Awaitable[Any]]


def numbered(rng: random.Random) -> Iterator[Request]:
    """Endless puts of 1, 2, 3 … with a drawn key."""
    value = 0
    while True:
        value += 1
        yield Request(f="put", key="xyz"[int(rng.random() * 3)], value=value)


def workload(**changes: Any) -> Workload:
    """A workload of numbered puts."""
    return Workload(**{"name": "numbered", "requests": numbered, "clients": 3, "timeout_s": 1.0, **changes})


async def connect(cluster: Any, node: str) -> str:
    """A connection that is just the node's name."""
    await asyncio.sleep(0.001)
    return node


async def quick(connection: str, call: Call) -> int:
    """Answers after 10 ms."""
    await asyncio.sleep(0.01)
    return call.id


def after(seconds: float) -> Answer:
    """Answers after so long."""

    async def answer(connection: str, call: Call) -> None:
        await asyncio.sleep(seconds)

    return answer


def driven(
    load: Workload,
    answer: Answer = quick,
    *,
    seconds: float = 2.0,
    seed: int = 1,
    connecting: Connecting | None = None,
    close: Any = None,
) -> tuple[History, Driven, float]:
    """What was recorded, what the driver says, and how long it took."""

    async def work() -> tuple[History, Driven, float]:
        clock = VirtualClock()
        recorder = Recorder(None, clock.now_ns)
        client = Client(connect=connecting or connect, call=answer, close=close)
        start_ns = clock.now_ns()
        said = await drive(load, client, None, recorder, rng=random.Random(seed), clock=clock, seconds=seconds, nodes=NODES)
        return recorder.all(), said, (clock.now_ns() - start_ns) / 1e9

    return run(work())


def outcomes(history: History) -> Counter[Outcome]:
    """How operations ended."""
    return Counter(op.outcome for op in history)


def test_answered_operations_are_ok_with_their_result() -> None:
    history, said, _ = driven(workload(operations=30))
    assert outcomes(history) == {Outcome.OK: 30}
    assert all(op.result == op.id and op.latency_ns == 10_000_000 for op in history)
    assert [op.value for op in history] == list(range(1, 31))
    assert said == Driven(invoked=30)


def test_clients_work_at_the_same_time_each_on_its_own_node_and_process() -> None:
    history, _, took_s = driven(workload(operations=300))
    assert {(op.process, op.node) for op in history} == {(0, "n1"), (1, "n2"), (2, "n3")}
    assert took_s == pytest.approx(300 * 0.010 / 3, rel=0.1)
    for process in range(3):
        mine = [op for op in history if op.process == process]
        assert all(one.return_ns <= two.invoke_ns for one, two in pairwise(mine))


def test_failed_means_it_surely_did_not_happen_and_the_client_goes_on() -> None:
    async def refuse(connection: str, call: Call) -> None:
        raise Failed("not the leader")

    history, _, _ = driven(workload(operations=9), refuse)
    assert outcomes(history) == {Outcome.FAIL: 9}
    assert {op.error for op in history} == {"not the leader"}
    assert Counter(op.process for op in history) == {0: 3, 1: 3, 2: 3}


def test_a_client_that_is_only_refused_tries_other_nodes_and_does_not_spin() -> None:
    async def n1_refuses(connection: str, call: Call) -> None:
        if connection == "n1":
            raise Failed("connection refused")
        await asyncio.sleep(0.01)

    history, _, _ = driven(workload(clients=1), n1_refuses)
    assert [(op.node, op.process) for op in history.operations[:6]] == [("n1", 0)] * 5 + [("n2", 0)]
    assert outcomes(history)[Outcome.FAIL] == 5


@pytest.mark.parametrize("trouble", [ConnectionResetError("gone"), ValueError("garbage"), TimeoutError("the driver's own")])
def test_anything_else_is_info_and_the_client_goes_on_as_a_new_process_at_the_next_node(trouble: Exception) -> None:
    async def break_off(connection: str, call: Call) -> None:
        raise trouble

    history, _, _ = driven(workload(operations=4, clients=1), break_off)
    assert outcomes(history) == {Outcome.INFO: 4}
    assert [(op.process, op.node) for op in history] == [(0, "n1"), (1, "n2"), (2, "n3"), (3, "n1")]
    assert history.operations[0].error == f"{type(trouble).__name__}: {trouble}"


def test_no_answer_in_time_is_info_censored_at_the_timeout() -> None:
    history, _, _ = driven(workload(operations=3), after(60))
    assert outcomes(history) == {Outcome.INFO: 3}
    assert all(op.latency_ns == pytest.approx(1e9) and op.error == "no answer within 1 s" for op in history)


def test_a_dead_node_behind_a_listening_relay_leaves_few_operations_open() -> None:
    """It accepts and resets at once: without a wait that would be thousands of open operations."""

    async def reset(connection: str, call: Call) -> None:
        raise ConnectionResetError

    history, _, _ = driven(workload(), reset, seconds=10.0)
    assert 30 < len(history) < 3 * 10 / 0.2 + 30


def test_the_wait_is_short_again_after_an_answer() -> None:
    async def half_dead(connection: str, call: Call) -> None:
        if connection == "n1":
            raise ConnectionResetError
        await asyncio.sleep(0.05)

    history, _, _ = driven(workload(clients=1), half_dead, seconds=5.0)
    assert outcomes(history)[Outcome.INFO] == 1
    assert outcomes(history)[Outcome.OK] >= 95


def test_a_node_that_cannot_be_reached_costs_no_operation() -> None:
    async def n2_only(cluster: Any, node: str) -> str:
        if node != "n2":
            raise ConnectionRefusedError
        return node

    history, _, _ = driven(workload(operations=20), connecting=n2_only)
    assert outcomes(history) == {Outcome.OK: 20}
    assert {op.node for op in history} == {"n2"}


def test_a_connect_that_hangs_is_given_up_and_the_next_node_tried() -> None:
    async def n1_hangs(cluster: Any, node: str) -> str:
        await asyncio.sleep(3600 if node == "n1" else 0)
        return node

    history, _, _ = driven(workload(clients=1, operations=5), connecting=n1_hangs, seconds=5.0)
    assert {op.node for op in history} == {"n2"}
    assert len(history) == 5


def test_with_nobody_to_reach_nothing_is_recorded_and_the_time_limit_holds() -> None:
    async def nobody(cluster: Any, node: str) -> str:
        raise ConnectionRefusedError

    history, said, took_s = driven(workload(), connecting=nobody)
    assert (len(history), said.invoked) == (0, 0)
    assert took_s == pytest.approx(2.0)


@pytest.mark.parametrize("rate_per_s", [None, 40.0])
def test_all_clients_end_within_the_timeout_after_the_limit(rate_per_s: float | None) -> None:
    async def stuck_late(connection: str, call: Call) -> None:
        await asyncio.sleep(0.02 if asyncio.get_running_loop().time() < 1001.9 else 3600)

    async def stuck_close(connection: str) -> None:
        await asyncio.sleep(3600)

    history, _, took_s = driven(workload(rate_per_s=rate_per_s), stuck_late, close=stuck_close)
    assert 2.0 <= took_s <= 3.0 + 1e-6
    assert outcomes(history)[Outcome.INFO] == 3
    assert all(op.invoke_ns < 1002e9 for op in history)


def test_with_a_rate_latency_runs_from_the_intended_start() -> None:
    """A stall of one second must show in the operations that should have started during it."""

    async def stall(connection: str, call: Call) -> None:
        now_s = asyncio.get_running_loop().time() - 1000
        await asyncio.sleep(2.0 - now_s if 1.0 < now_s < 2.0 else 0.001)

    history, said, _ = driven(workload(rate_per_s=100.0, clients=2, timeout_s=5.0), stall, seconds=4.0)
    waited = [op for op in history if op.invoke_ns - op.intended_ns > 50_000_000]
    assert len(waited) > 50
    assert all(op.intended_ns <= op.invoke_ns for op in history)
    assert max(op.latency_ns for op in history) > 0.8e9
    assert abs(len(history) - 400) < 80
    assert said.unsent == 0


def test_the_schedule_and_the_requests_depend_on_the_seed_alone() -> None:
    def asked(history: History, count: int = 20) -> list[tuple[int, Any, Any]]:
        return [(op.intended_ns, op.key, op.value) for op in sorted(history, key=lambda op: op.intended_ns)[:count]]

    fast, slow, other = (
        driven(workload(rate_per_s=30.0), answer, seed=seed)[0] for answer, seed in ((quick, 1), (after(0.2), 1), (quick, 2))
    )
    closed = driven(workload(operations=20))[0]
    assert asked(fast) == asked(slow) != asked(other)
    assert [op.key for op in closed] == [key for _, key, _ in asked(fast)]


def test_starts_that_nobody_was_free_for_are_told() -> None:
    history, said, _ = driven(workload(rate_per_s=100.0, clients=1, timeout_s=5.0), after(1.0))
    assert len(history) == 2
    assert said.unsent + said.invoked == pytest.approx(200, abs=45)


def test_a_finite_stream_ends_the_run() -> None:
    def three(rng: random.Random) -> Iterator[Request]:
        yield from (Request(f="get", key=i) for i in range(3))

    history, _, took_s = driven(workload(requests=three))
    assert ([op.key for op in history], took_s < 0.1) == ([0, 1, 2], True)


def test_cancelled_operations_on_their_way_are_info() -> None:
    async def work() -> History:
        clock = VirtualClock()
        recorder = Recorder(None, clock.now_ns)
        client = Client(connect=connect, call=after(0.9))
        driving = drive(workload(), client, None, recorder, rng=random.Random(1), clock=clock, seconds=9, nodes=NODES)
        task = asyncio.create_task(driving)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return recorder.all()

    history = run(work())
    assert [(op.outcome, op.error) for op in history] == [(Outcome.INFO, "CancelledError")] * 3


def test_a_keyboard_interrupt_records_the_operation_and_goes_through() -> None:
    recorder = Recorder(None, lambda: 0)

    async def interrupt(connection: str, call: Call) -> None:
        raise KeyboardInterrupt

    async def work() -> None:
        client = Client(connect=connect, call=interrupt)
        load = workload(clients=1)
        await drive(load, client, None, recorder, rng=random.Random(1), clock=VirtualClock(), seconds=1, nodes=NODES)

    with pytest.raises(KeyboardInterrupt):
        run(work())
    assert [(op.outcome, op.error) for op in recorder.all()] == [(Outcome.INFO, "KeyboardInterrupt")]


def test_an_error_in_the_request_stream_is_the_users_and_is_raised() -> None:
    def broken(rng: random.Random) -> Iterator[Request]:
        yield Request(f="get")
        raise ZeroDivisionError("in my generator")

    with pytest.raises(ZeroDivisionError, match="in my generator"):
        driven(workload(requests=broken))


def test_connections_are_closed_when_left() -> None:
    closed: list[str] = []

    async def close(connection: str) -> None:
        closed.append(connection)

    driven(workload(operations=6), close=close)
    assert sorted(closed) == ["n1", "n2", "n3"]


def driven_in_threads(client: Client, **changes: Any) -> History:
    """What a client of plain functions did: threads need real time."""
    clock = SystemClock()
    recorder = Recorder(None, clock.now_ns)
    load = workload(**changes)
    asyncio.run(drive(load, client, None, recorder, rng=random.Random(1), clock=clock, seconds=60, nodes=NODES))
    return recorder.all()


def test_plain_functions_run_on_one_thread_per_connection_never_on_the_loop() -> None:
    """Blocking drivers (sqlite3, for one) insist on the thread that opened them."""
    used: dict[int, set[int]] = {}
    here = threading.get_ident()

    def plain_connect(cluster: Any, node: str) -> int:
        used[threading.get_ident()] = {threading.get_ident()}
        return threading.get_ident()

    def plain_call(connection: int, call: Call) -> str:
        used[connection].add(threading.get_ident())
        return "done"

    def plain_close(connection: int) -> None:
        used[connection].add(threading.get_ident())

    history = driven_in_threads(Client(connect=plain_connect, call=plain_call, close=plain_close), operations=60, timeout_s=30.0)
    assert outcomes(history) == {Outcome.OK: 60}
    assert len(used) == 3
    assert all(threads == {owner} for owner, threads in used.items())
    assert here not in used


def test_a_plain_function_may_return_a_coroutine() -> None:
    client = Client(connect=lambda cluster, node: node, call=lambda connection, call: quick(connection, call))
    assert [op.result for op in driven_in_threads(client, clients=1, operations=3, timeout_s=30.0)] == [1, 2, 3]


def test_a_plain_call_that_never_returns_is_info_and_does_not_stop_the_client() -> None:
    never = threading.Event()

    def hang_once(connection: str, call: Call) -> None:
        if call.id == 1:
            never.wait()

    try:
        history = driven_in_threads(
            Client(connect=lambda cluster, node: node, call=hang_once), clients=1, operations=20, timeout_s=0.2
        )
    finally:
        never.set()
    assert history.operations[0].outcome is Outcome.INFO
    assert outcomes(history)[Outcome.OK] > 0
