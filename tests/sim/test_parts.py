"""Small pure parts: the tape, coverage, sending things to workers, the ledger's window."""

from __future__ import annotations

import random
from types import MappingProxyType

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.runtimes.sim.clock import START_NS, ClockModel, NodeClock
from pytest_coordchaos.runtimes.sim.tape import Stream, Tape
from pytest_coordchaos.simulation.coverage import needed, statement
from pytest_coordchaos.simulation.shipping import dumps, loads
from pytest_coordchaos.system.model import System


def test_streams_are_independent_and_a_recorded_tape_makes_the_same_choices() -> None:
    one, other = Tape(7, keep=True), Tape(7)
    other.disk.below(10)
    drawn = [one.network.below(1000) for _ in range(50)]

    assert drawn == [other.network.below(1000) for _ in range(50)]
    assert drawn != [Tape(8).network.below(1000) for _ in range(50)]
    again = Tape(99, one.recorded)
    assert [again.network.below(1000) for _ in range(50)] == drawn
    assert again.network.below(1000) == 0
    assert {name for name, choices in one.recorded.items() if choices} == {"network"}


def test_given_choices_are_clipped_to_what_is_allowed() -> None:
    assert [Stream("", [5, 1]).below(3) for _ in range(1)] == [2]


def test_a_tape_of_zeros_is_a_world_with_exact_clocks() -> None:
    clock = NodeClock()
    ClockModel().set(clock, Stream("", []))
    assert (clock.rate, clock.offset_ns) == (1.0, 0)
    for seed in range(50):
        ClockModel(offset_s=2.0, drift=0.01).set(clock, Stream(str(seed)))
        assert 0.99 <= clock.rate <= 1.01
        assert abs(clock.offset_ns) <= 2e9
        local = clock.monotonic_ns(START_NS + 10**12)
        assert abs(clock.virtual_ns(local) - START_NS - 10**12) <= 1


def test_faults_of_a_clock_come_on_top_of_its_own_error_and_leave_it_as_it_was() -> None:
    clock, second = NodeClock(), 10**9
    clock.offset_ns = 7
    clock.set_rate(1.01, START_NS)
    own = NodeClock()
    own.offset_ns = 7
    own.set_rate(1.01, START_NS)

    clock.set_fault(-60 * second, 1.5, START_NS + 10 * second)
    at = START_NS + 20 * second
    assert clock.seen(at) == (pytest.approx(-60), pytest.approx(1.5))
    assert clock.wall_ns(at) - own.wall_ns(at) == pytest.approx((-60 + 10 * 1.01 * 0.5) * second)
    clock.set_fault(0, 1.5, START_NS + 20 * second)
    clock.set_fault(5 * second, 1.0, START_NS + 30 * second)
    assert clock.seen(START_NS + 40 * second) == (pytest.approx(5), pytest.approx(1.0))
    clock.set_fault(0, 1.0, START_NS + 40 * second)

    late = START_NS + 50 * second
    assert abs(clock.wall_ns(late) - own.wall_ns(late)) <= 4
    assert clock.monotonic_ns(late) - own.monotonic_ns(late) == pytest.approx(20 * 1.01 * 0.5 * second)


def test_needed_partitions_are_those_of_the_paper() -> None:
    """Five nodes, random splits in two: 7 separate all pairs, 83 make all splits (95 %)."""
    assert needed(10, 8 / 15) == 7
    assert needed(15, 1 / 15) == 83


def test_the_statement_counts_what_was_separated() -> None:
    nodes = ("n1", "n2", "n3")
    assert statement(nodes, []) == "no partition was made"
    text = statement(nodes, [(("n1",), ("n2", "n3")), (("n2", "n3"), ("n1",))])
    assert text.startswith("2 partitions separated 2 of 3 pairs and made 1 of 3 splits in two; ")
    assert "neither" in text


def _of_a_module(x: int) -> int:
    return x + 1


def test_functions_travel_by_name_by_code_and_with_what_they_close_over() -> None:
    offset = 10

    def inner(x: int, *, more: int = 1) -> int:
        return x + offset + more + random.Random(0).randrange(1)

    def recursive(n: int) -> int:
        return 1 if n == 0 else n * recursive(n - 1)

    sent = loads(dumps({"a": _of_a_module, "b": inner, "c": lambda x: inner(x) * 2, "d": recursive}))

    assert sent["a"](1) == 2
    assert sent["b"](1) == 12
    assert sent["c"](1) == 24
    assert sent["d"](5) == 120
    assert loads(dumps(MappingProxyType({1: "a"})))[1] == "a"


def test_what_cannot_travel_is_named() -> None:
    import threading

    with pytest.raises(UsageError, match="cannot be sent there: cannot pickle"):
        dumps({"lock": threading.Lock()})


def test_a_system_of_coroutines_takes_one_function_for_each_node_and_nothing_else() -> None:
    async def main() -> None:
        pass

    coroutine = main()
    with pytest.raises(UsageError, match="a coroutine function without arguments"):
        System.from_coroutines({"a": coroutine})  # type: ignore[dict-item]  # the mistake under test
    coroutine.close()
    with pytest.raises(UsageError, match="neither entry, command nor image"):
        System.from_coroutines({"a": main}, command=["sleep"])
    with pytest.raises(UsageError, match="must be one for each node"):
        System(nodes=["a", "b"], coroutines={"a": main})
