"""Plans: every word occurs, one fault at a time, recovery is seen, and a seed draws the same plan for ever."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.faults.plan import MIN_SLOT_S, Plan, PlanEvent, draw
from pytest_coordchaos.faults.plan_file import from_json, load, save, to_json
from pytest_coordchaos.faults.triggers import MessageTrigger
from pytest_coordchaos.faults.words import Aim

NODES = ("n1", "n2", "n3", "n4", "n5")
WORDS = (
    "partition:halves",
    "partition:majority",
    "partition:majorities-ring",
    "isolate:leader",
    "pause:minority",
    "kill:one",
    "kill:n3",
    "slow",
    "slow:80",
    "hold:halves",
    "lose",
    "reorder:5",
    "drop-replies:leader",
    "skew:one",
    "jump:n2",
    "drift:minority",
    "slow-disk:80",
    "slow-disk:leader",
    "full-disk:one",
    "power-loss:leader",
)

words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)
seeds = st.integers(0, 2**64)


@given(words, st.floats(3.0, 120.0), seeds)
def test_every_word_occurs_one_at_a_time_with_quiet_around(listed: list[str], seconds: float, seed: int) -> None:
    plan = draw(listed, NODES, seconds, seed)
    assert {event.word for event in plan.events} == set(listed)
    assert 0.05 * seconds - 0.001 <= plan.events[0].start_s <= 0.10 * seconds + 0.001
    assert plan.events[-1].end_s <= 0.90 * seconds + 0.001
    assert all(one.end_s < two.start_s for one, two in pairwise(plan.events))
    assert all(event.duration_s > MIN_SLOT_S / 3 for event in plan.events)
    assert [event.id for event in plan.events] == [f"{i}-{event.word}" for i, event in enumerate(plan.events, start=1)]


@given(words, seeds)
def test_the_same_seed_draws_the_same_plan_and_its_file_tells_it_again(listed: list[str], seed: int) -> None:
    plan = draw(listed, NODES, 20.0, seed)
    assert draw(listed, NODES, 20.0, seed) == plan
    assert from_json(to_json(plan)) == plan


def test_different_seeds_draw_different_plans() -> None:
    assert len({draw(WORDS, NODES, 20.0, seed) for seed in range(50)}) == 50


def test_words_come_in_rounds_so_that_none_is_starved() -> None:
    order = [event.word for event in draw(["slow", "kill:one"], NODES, 60.0, 5).events]
    assert all(set(order[i : i + 2]) == {"slow", "kill:one"} for i in range(0, len(order) - 1, 2))
    assert len(order) > 10


def test_a_role_is_not_resolved_when_the_plan_is_drawn() -> None:
    (event,) = draw(["pause:leader"], NODES, 2.0, 1).events
    assert event.aim == Aim(role="leader")


def test_how_wrong_a_clock_is_is_drawn_either_way_within_what_the_words_promise() -> None:
    aims = [
        draw([word], NODES, 2.0, seed).events[0].aim for seed in range(60) for word in ("skew:one", "jump:n2", "drift:minority")
    ]
    skews, jumps, drifts = aims[::3], aims[1::3], aims[2::3]
    for found, least, most in ((skews, 0.1, 60.0), (jumps, 60.0, 3600.0)):
        sizes = [aim.offset_s or 0.0 for aim in found]
        assert all(least <= abs(size) <= most for size in sizes)
        assert min(sizes) < 0 < max(sizes)
    rates = [aim.clock_rate or 0.0 for aim in drifts]
    assert all(0.01 <= abs(rate - 1) <= 0.05 for rate in rates)
    assert min(rates) < 1 < max(rates)
    assert jumps[0].nodes == ("n2",)


def test_a_slow_disk_hits_all_nodes_with_a_number_and_the_target_with_the_default() -> None:
    (all_of_them,) = draw(["slow-disk:80"], NODES, 2.0, 1).events
    (one,) = draw(["slow-disk:n3"], NODES, 2.0, 1).events
    assert all_of_them.aim == Aim(nodes=NODES, sync_ms=80.0)
    assert one.aim == Aim(nodes=("n3",), sync_ms=100.0)


def test_an_event_with_a_trigger_waits_for_half_of_its_time_and_lasts_for_the_other() -> None:
    at_times, triggered = draw(["kill:one"], NODES, 20.0, 3), draw(["kill:one@append#2"], NODES, 20.0, 3)
    assert [one.start_s for one in triggered.events] == [one.start_s for one in at_times.events]
    for one, other in zip(triggered.events, at_times.events, strict=True):
        assert one.duration_s == pytest.approx(other.duration_s / 2, abs=0.001)
        assert one.end_s == pytest.approx(other.end_s, abs=0.002)
        assert one.trigger == MessageTrigger(message_class="append", count=2)
    assert from_json(to_json(triggered)) == triggered


def test_a_change_of_role_is_waited_for_while_the_other_faults_of_its_round_may_bring_it_about() -> None:
    plan = draw(["kill:leader", "slow@leader"], NODES, 20.0, 3)
    for kill, slow in (sorted(plan.events[i : i + 2], key=lambda one: one.word) for i in range(0, len(plan.events) - 1, 2)):
        assert slow.start_s <= kill.start_s
        assert slow.start_s + slow.wait_s >= kill.end_s - slow.duration_s - 0.002
    assert all(event.end_s <= 18.001 for event in plan.events)
    assert from_json(to_json(plan)) == plan


def test_a_random_source_may_be_handed_over() -> None:
    plan = draw(["kill:one"], NODES, 5.0, random.Random(4))
    assert plan == draw(["kill:one"], NODES, 5.0, random.Random(4))
    assert plan.seed is None


def test_no_words_make_a_plan_without_events() -> None:
    assert draw([], NODES, 3.0, 1) == Plan(seed=1, seconds=3.0, nodes=NODES)


def test_a_run_too_short_for_its_words_is_refused_with_the_length_it_needs() -> None:
    with pytest.raises(
        UsageError,
        match=r"^seconds=1 is too short for every fault of faults=\[.*\] to occur; allowed: 7.2 s or more, or fewer words$",
    ):
        draw(WORDS, NODES, 1.0, 1)
    assert len(draw(WORDS, NODES, 7.2, 1).events) == len(WORDS)


def test_a_word_that_does_not_fit_the_nodes_is_refused() -> None:
    with pytest.raises(UsageError, match="'kill:n3' names no node"):
        draw(["kill:n3"], ("n1", "n2"), 5.0, 1)


def test_the_golden_plan_is_drawn_on_every_python_version() -> None:
    """Draws must not change: saved seeds would tell another story."""
    plan = draw(["partition:halves", "pause:leader", "kill:minority"], NODES, 6.0, 20_240_229)
    assert plan == GOLDEN


def test_a_plan_file_is_never_overwritten(tmp_path: Path) -> None:
    first, second = draw(["slow"], NODES, 5.0, 1), draw(["slow"], NODES, 5.0, 2)
    path = tmp_path / "plan.json"
    save(first, path)
    with pytest.raises(UsageError, match="exists already; plans are never overwritten"):
        save(second, path)
    assert load(path) == first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a readable fault plan"),
        ("[]", "is not a fault plan: it has no 'coordchaos_plan'"),
        ('{"coordchaos_plan": 99}', "is a fault plan of version 99; allowed: 1"),
        ('{"coordchaos_plan": 1}', "is not a readable fault plan: KeyError"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("change", [{"start_s": -1}, {"duration_s": "long"}, {"word": "explode"}, {"aim": []}])
def test_an_event_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    document = json.loads(to_json(draw(["slow"], NODES, 5.0, 1)))
    document["events"][0] |= change
    with pytest.raises(UsageError):
        from_json(json.dumps(document))


def test_a_missing_plan_file_is_told() -> None:
    with pytest.raises(UsageError, match=r"^Plan file nowhere/plan\.json cannot be read: "):
        load(Path("nowhere/plan.json"))


GOLDEN = Plan(
    seed=20240229,
    seconds=6.0,
    nodes=NODES,
    events=(
        PlanEvent(
            id="1-partition:halves",
            word="partition:halves",
            start_s=0.575,
            duration_s=1.015,
            aim=Aim(groups=(frozenset(("n2", "n4")), frozenset(("n1", "n3", "n5")))),
        ),
        PlanEvent(id="2-pause:leader", word="pause:leader", start_s=1.928, duration_s=1.13, aim=Aim(role="leader")),
        PlanEvent(id="3-kill:minority", word="kill:minority", start_s=4.016, duration_s=0.984, aim=Aim(nodes=("n2", "n3"))),
    ),
)
