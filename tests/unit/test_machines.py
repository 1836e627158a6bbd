"""What a set of faults makes of one machine, and what a look from its inside proves."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.faults.machines import MachineState, judged, machine_state
from pytest_coordchaos.faults.model import Drift, Fault, FullDisk, Jump, Pause, Skew, SlowDisk

FAULTS: tuple[Fault, ...] = (
    Skew("n1", 0.1),
    Skew("n1", 0.2),
    Jump("n1", -0.3),
    Drift("n1", 1.1),
    Drift("n1", 0.9),
    SlowDisk("n1", 5),
)


def test_offsets_and_delays_add_and_rates_multiply_in_any_order() -> None:
    states = {machine_state(order, "n1") for order in permutations(FAULTS)}

    (state,) = states
    assert abs(state.offset_s) < 1e-12
    assert abs(state.rate - 0.99) < 1e-12
    assert (state.sync_ms, state.full) == (5.0, False)


@given(st.permutations([*FAULTS, FullDisk("n1"), FullDisk("n1")]), st.integers(0, 7))
def test_undoing_one_leaves_exactly_the_others(order: list[Fault], place: int) -> None:
    gone = order[place]
    left = [fault for at, fault in enumerate(order) if at != place]

    assert machine_state(left, "n1") == machine_state(sorted(left, key=repr), "n1")
    assert machine_state(left, "n1").full
    assert machine_state([*left, gone], "n1") == machine_state(order, "n1")


def test_faults_of_other_machines_and_of_links_change_nothing() -> None:
    assert machine_state([Skew("n2", 9), FullDisk("n3"), Pause("n1")], "n1") == MachineState()


def test_a_look_proves_only_what_was_wanted() -> None:
    wanted = MachineState(offset_s=30.0, rate=1.02, sync_ms=50.0, full=True)
    seen = {"ahead_s": 30.001, "rate": 1.0201, "sync_ms": 50.0, "full": True}
    assert judged("n1", wanted, **seen).ok  # type: ignore[arg-type]  # the readings above
    for other in ({"ahead_s": 29.9}, {"rate": 1.0}, {"sync_ms": 0.0}, {"full": False}):
        probe = judged("n1", wanted, **{**seen, **other})  # type: ignore[arg-type]  # the same
        assert not probe.ok
        assert probe.observed.startswith("n1 sees its wall clock")
