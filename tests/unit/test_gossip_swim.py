"""The membership protocol, pure: what members believe, tell, and do when others do not answer."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from reference_systems.gossip_ring.config import Config
from reference_systems.gossip_ring.members import Members
from reference_systems.gossip_ring.messages import Ack, Ping, PingReq, State, Update, decode, encode_updates, size_of, to_frame
from reference_systems.gossip_ring.probing import Turn
from reference_systems.gossip_ring.rumours import Rumours
from reference_systems.gossip_ring.swim import Swim
from reference_systems.kit.frames import Frame, FrameError
from tests.unit.gossip_model import Group

PERIOD_S = Config().period_s


@pytest.mark.parametrize("n", [2, 3, 5, 16])
def test_members_find_each_other_through_any_seed_and_then_cost_two_messages_a_period(n: int) -> None:
    group = Group(n, known=False)
    group.run(4)
    assert all(view.keys() == set(group.names) for view in group.views())
    before = sum(group.sent.values())
    group.run(100 * PERIOD_S)
    assert 2.0 <= (sum(group.sent.values()) - before) / n / 100 <= 2.2


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("islands", [("n1 n3 n5", "n2 n4"), ("n1", "n2", "n3", "n4 n5"), ("n1 n2 n3", "n4 n5")])
def test_islands_that_never_knew_of_each_other_find_each_other_through_seeds(islands: tuple[str, ...], seed: int) -> None:
    island_of = {name: island for island in islands for name in island.split()}
    group = Group(5, seed=seed, known=False)
    group.lost = lambda sender, receiver: island_of[sender] != island_of[receiver]
    group.run(3)
    assert {frozenset(view) for view in group.views()} != {frozenset(group.names)}
    group.lost = lambda sender, receiver: False
    group.run(4 * group.config.reconnect_periods * PERIOD_S)
    assert {frozenset(view) for view in group.views()} == {frozenset(group.names)}


@pytest.mark.parametrize("seed", range(10))
def test_a_crash_is_suspected_declared_and_known_to_all_in_the_promised_times(seed: int) -> None:
    group = Group(7, seed=seed)
    promises = group.config.promises(7)
    group.run(3)
    group.crash("n4")
    crashed = group.now
    group.run(promises["declaration_s"] + promises["spread_s"])
    suspected, declared = group.events("n4", State.SUSPECT), group.events("n4", State.DEAD)
    assert {name for name, _ in declared} == set(group.names) - {"n4"}
    assert suspected[0][1].at - crashed <= promises["detection_s"]
    assert declared[-1][1].at - declared[0][1].at <= promises["spread_s"]
    assert declared[-1][1].at - crashed <= promises["declaration_s"] + promises["spread_s"]


def round_robin_reference(n: int, rng: random.Random) -> int:
    """In which period one of n − 1 independent observers, each somewhere in its turn, comes to a given target first."""
    waits = []
    for _ in range(n - 1):
        place, left = rng.randrange(n - 1), rng.randrange(n - 1)  # the target's place in this turn; turns still to take in it
        waits.append(left - place if place < left else left + 1 + rng.randrange(n - 1))
    return min(waits)


@pytest.mark.parametrize("n", [3, 5])
def test_the_first_probe_of_a_crashed_member_comes_as_soon_as_round_robin_has_it(n: int) -> None:
    """Whole periods, ticks together: 1.27 of them at n = 3, fewer than the 1.33 of random targets."""
    config, rng, runs = Config(probe_timeout_ms=1), random.Random(1), 500
    seen = [Group(n, config=config, seed=seed, together=True).periods_to_first_probe("n1") for seed in range(runs)]
    reference = [round_robin_reference(n, rng) for _ in range(20 * runs)]
    assert sum(seen) / runs == pytest.approx(sum(reference) / len(reference), rel=0.05)


def test_one_cut_link_makes_no_suspect_because_others_are_asked() -> None:
    group = Group(5)
    group.lost = lambda sender, receiver: (sender, receiver) == ("n1", "n2")
    group.run(60 * PERIOD_S)
    assert group.events("n2", State.SUSPECT) == []
    assert group.sent["PingReq"] > 0


def test_a_short_silence_is_refuted_with_a_greater_incarnation() -> None:
    group = Group(5)
    group.run(1)
    group.lost = lambda sender, receiver: "n3" in (sender, receiver)
    group.run(group.config.suspicion_s(5) * 0.6)
    group.lost = lambda sender, receiver: False
    group.run(5)
    assert group.events("n3", State.SUSPECT)
    assert group.events("n3", State.DEAD) == []
    assert {view["n3"] for view in group.views()} == {Update("n3", 1, State.ALIVE)}


def test_two_islands_become_one_group_again() -> None:
    group, islands = Group(6), ({"n1", "n2", "n3"}, {"n4", "n5", "n6"})
    group.lost = lambda sender, receiver: all({sender, receiver} & island for island in islands)
    group.run(10)
    assert {group.state("n1", name) for name in islands[1]} == {"dead"}
    group.lost = lambda sender, receiver: False
    group.run(5)
    assert all(view == group.views()[0] and view.keys() == set(group.names) for view in group.views())


def test_a_restarted_member_is_back_although_it_was_declared_dead() -> None:
    group = Group(4)
    group.crash("n2")
    group.run(8)
    assert {group.state(name, "n2") for name in ("n1", "n3", "n4")} == {"dead"}
    group.restart("n2")
    group.run(3)
    assert {view["n2"] for view in group.views()} == {Update("n2", 1, State.ALIVE)}


def test_a_member_that_leaves_is_not_called_dead_and_comes_back_when_it_starts_again() -> None:
    group = Group(4)
    group.members["n3"].leave(group.now)
    group.run(8)
    assert {group.state(name, "n3") for name in group.names} == {"left"}
    assert group.events("n3", State.SUSPECT) == []
    group.restart("n3")
    group.run(5)
    assert {view["n3"].state for view in group.views()} == {State.ALIVE}


def test_a_member_that_was_stopped_blames_nobody_for_what_it_did_not_hear() -> None:
    group = Group(3)
    group.run(1)
    member = group.members["n1"]
    member.believe(Update("n2", 0, State.SUSPECT), "n3", group.now)
    member.tick(group.now + 60)
    assert group.state("n1", "n2") == "suspect"
    assert group.state("n1", "n3") == "alive"


def test_whom_another_view_takes_for_dead_is_suspected_first() -> None:
    """After a partition views meet in which half of the group is dead; those who live get their time to say so."""
    group = Group(3)
    group.members["n1"].learn((Update("n2", 0, State.DEAD),), "n3", 0.0)
    assert group.state("n1", "n2") == "suspect"


def test_only_the_acknowledgement_of_this_probe_counts() -> None:
    member = Swim(name="n1", seeds=(), config=Config(), rng=random.Random(1), now=0.0)
    member.hear(Update("n2", 0, State.ALIVE), "n2", 0.0)
    member.tick(PERIOD_S)
    [(_, ping)] = member.take_messages()
    member.receive("n2", Ack(seq=ping.seq - 1), PERIOD_S)
    member.tick(2 * PERIOD_S)
    assert member.members.get("n2") == Update("n2", 0, State.SUSPECT)


def test_who_was_acknowledged_has_nothing_to_do_before_the_next_period() -> None:
    """A deadline that has passed, and at which nothing happens, would keep a node awake all the time."""
    group = Group(2)
    for _ in range(400):
        group.run(PERIOD_S / 20)
        assert all(member.deadline >= group.now for member in group.members.values())


def test_an_older_life_and_an_older_belief_are_overridden_and_strangers_are_not_buried() -> None:
    members = Members("n1", 10)
    assert not members.accepts(Update("n2", 3, State.DEAD))
    beliefs = [Update("n2", i, state) for i in (0, 1) for state in State]
    for earlier, later in pairwise(beliefs):
        members.put(earlier, "n3", 0.0)
        assert members.accepts(later)
        members.put(later, "n3", 0.0)
        assert not any(members.accepts(one) for one in beliefs if one.rank <= later.rank)


def test_the_dead_are_forgotten_in_the_end() -> None:
    members = Members("n1", 10)
    members.put(Update("n2", 0, State.DEAD), "n1", 5.0)
    members.forget_dead(5.0)
    assert members.get("n2")
    members.forget_dead(5.1)
    assert members.get("n2") is None


@pytest.mark.parametrize("seed", range(20))
def test_no_target_waits_longer_than_two_turns(seed: int) -> None:
    n, names = 6, [f"n{number}" for number in range(2, 7)]
    turn = Turn(random.Random(seed))
    order = [turn.next(lambda: names) for _ in range(200)]
    for name in names:
        places = [place for place, one in enumerate(order) if one == name]
        assert max(b - a for a, b in pairwise(places)) <= 2 * n - 3


def test_updates_ride_a_bounded_number_of_times_the_least_told_first_and_fit_their_room() -> None:
    old, new = Update("n2", 0, State.ALIVE), Update("n3", 0, State.DEAD)
    rumours = Rumours(lambda: 3, size_of(old))
    rumours.add(old)
    assert rumours.take() == (old,)
    rumours.add(new)
    assert [rumours.take() for _ in range(6)] == [(new,), (old,), (new,), (old,), (new,), ()]
    rumours.add(new)
    assert rumours.take((old,)) == (old,)


@pytest.mark.parametrize(
    "message",
    [
        Ping(seq=2**63, updates=(Update("n1", 0, State.ALIVE), Update("a-long-name", 2**32 - 1, State.LEFT))),
        Ack(seq=0),
        PingReq(seq=7, target="n9", updates=(Update("n9", 1, State.SUSPECT),)),
    ],
)
def test_messages_survive_their_bytes_and_what_is_cut_is_refused(message: Ping | Ack | PingReq) -> None:
    frame = to_frame(message, sender=3)
    assert decode(frame) == message
    for size in range(len(frame.body)):
        if size not in _whole(message):
            with pytest.raises(FrameError):
                decode(Frame(kind=frame.kind, sender=3, body=frame.body[:size]))


def _whole(message: Ping | Ack | PingReq) -> list[int]:
    """Sizes at which a shorter message ends."""
    head = len(to_frame(message, 1).body) - len(encode_updates(message.updates))
    return [head + sum(map(size_of, message.updates[:count])) for count in range(len(message.updates))]


@pytest.mark.parametrize("options", [{"period_ms": 0}, {"helpers": 1.5}, {"probe_timeout_ms": 200}, {"colour": 1}])
def test_an_option_that_is_off_is_refused_by_name(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"gossip_ring (option|has no option).*{next(iter(options))}"):
        Config.of(options)
