"""The replica without a world: it agrees with all others whatever the network does, and loses nothing it acknowledged."""

from __future__ import annotations

import pytest

from reference_systems.crdt_cart.cart import Cart
from reference_systems.crdt_cart.core import Replica, Stored, Write, neighbours_of
from reference_systems.crdt_cart.deltas import Deltas
from reference_systems.crdt_cart.workload import carts
from tests.unit.cart_model import Model

NODES = ("n1", "n2", "n3")


def _replica(name: str, life: int = 1, cart: Cart | None = None) -> Replica:
    stored = Stored(identity=name, cart=cart or Cart())
    return Replica(stored, neighbours=neighbours_of(name, NODES[:2]), life=life, max_deltas=4, max_operations=10)


def _add(replica: Replica, operation: int, item: str = "pen", quantity: int = 1) -> None:
    replica.became_durable(replica.add(operation, item, quantity))


def _exchange(source: Replica, target: Replica, names: tuple[str, str]) -> bool:
    """One interval and its acknowledgement; False: there was nothing to send."""
    interval = source.interval_for(names[1])
    if interval is None:
        return False
    write = target.hear(names[0], interval)
    target.became_durable(write)
    source.acknowledged(names[1], interval, write.answer)
    return True


@pytest.mark.parametrize("seed", range(60))
def test_all_agree_in_the_end_and_nothing_acknowledged_is_lost(seed: int) -> None:
    """Messages lost, doubled, late; crashes that lose what was not durable; deltas dropped for want of room."""
    model = Model(seed, nodes=2 + seed % 4)
    for _ in range(400):
        model.step()
    model.settle()

    first, *rest = model.carts
    assert all(cart == first for cart in rest)
    there = {operation for item in first.entries for operation in first.operations(str(item))}
    assert there >= set(model.acknowledged) - model.taken
    assert not there & model.taken
    assert all(len(machine.replica.deltas) == 0 for machine in model.machines.values())


@pytest.mark.parametrize("seed", range(20))
def test_a_lost_disk_takes_back_nothing_that_others_have(seed: int) -> None:
    """The node counts on under a new name, and hears the rest from the others."""
    model = Model(seed)
    for _ in range(150):
        model.step()
    model.settle()
    before = model.carts[0].quantities()
    model.machines["n2"] = model.machines["n2"].crashed(disk_lost=True)
    _add_at(model, "n2", 1000)
    model.settle()

    assert all(cart == model.carts[0] for cart in model.carts)
    assert model.carts[0].quantities() == {**before, "new": 7}


def _add_at(model: Model, name: str, operation: int) -> None:
    machine = model.machines[name]
    machine.waiting.append((machine.replica.add(operation, "new", 7), operation))
    model.flush(machine)


def test_what_follows_a_whole_state_on_its_way_is_not_lost() -> None:
    """Nothing is known of the neighbour yet; a delta is made between its first interval and the acknowledgement."""
    one, two = _replica("n1"), _replica("n2")
    _add(one, 1, "book")
    interval = one.interval_for("n2")
    assert interval is not None
    _add(one, 2, "cup")
    write = two.hear("n1", interval)
    two.became_durable(write)
    one.acknowledged("n2", interval, write.answer)

    assert _exchange(one, two, ("n1", "n2"))
    assert two.cart.quantities() == {"book": 1, "cup": 1}


def test_a_neighbour_in_step_is_sent_deltas_only_and_nothing_when_there_is_nothing() -> None:
    one, two = _replica("n1"), _replica("n2")
    for operation in range(1, 100):
        _add(one, operation, f"item{operation}")
    _exchange(one, two, ("n1", "n2"))
    _add(one, 100, "new")
    interval = one.interval_for("n2")

    assert interval is not None
    assert list(interval.cart.entries) == ["new"]
    assert _exchange(one, two, ("n1", "n2"))
    assert not _exchange(one, two, ("n1", "n2"))


def test_what_a_neighbour_said_is_not_said_back() -> None:
    one, two = _replica("n1"), _replica("n2")
    _exchange(two, one, ("n2", "n1"))
    _exchange(one, two, ("n1", "n2"))
    _add(one, 1)
    _exchange(one, two, ("n1", "n2"))

    assert not _exchange(two, one, ("n2", "n1"))
    assert len(two.deltas) == 0


def test_what_two_have_from_a_third_they_do_not_tell_each_other_twice() -> None:
    """One of them tells the other first; that it has it need not be said back."""
    one, two = _replica("n1"), _replica("n2")
    _exchange(one, two, ("n1", "n2"))
    _exchange(two, one, ("n2", "n1"))
    delta = Cart().add("n3", "pen", 1, 1)
    for replica in (one, two):
        replica.became_durable(Write(delta=delta, source="n3"))

    assert _exchange(one, two, ("n1", "n2"))
    assert not _exchange(two, one, ("n2", "n1"))
    assert (len(one.deltas), len(two.deltas)) == (0, 0)


def test_a_gap_is_answered_by_the_whole_state() -> None:
    """The neighbour lost its disk: the next interval does not follow on anything it has."""
    one, two = _replica("n1"), _replica("n2")
    _add(one, 1, "book")
    _exchange(one, two, ("n1", "n2"))
    fresh = _replica("n2", life=2)
    _add(one, 2, "cup")
    _exchange(one, fresh, ("n1", "n2"))
    assert fresh.cart.quantities() == {}

    _exchange(one, fresh, ("n1", "n2"))
    assert fresh.cart.quantities() == {"book": 1, "cup": 1}


def test_a_neighbour_that_begins_anew_is_sent_everything_unasked() -> None:
    one, two = _replica("n1"), _replica("n2")
    _add(one, 1, "book")
    _exchange(one, two, ("n1", "n2"))
    _exchange(two, one, ("n2", "n1"))
    fresh = _replica("n2", life=2)
    _exchange(fresh, one, ("n2", "n1"))

    assert _exchange(one, fresh, ("n1", "n2"))
    assert fresh.cart.quantities() == {"book": 1}


def test_deltas_are_bounded_and_who_misses_some_gets_the_whole_state() -> None:
    deltas = Deltas(("n2", "n3"), most=3)
    for peer in ("n2", "n3"):
        deltas.acknowledged(peer, 1, 1)
    for _ in range(3):
        deltas.append(Cart(), "")
    deltas.acknowledged("n3", 1, 4)
    assert deltas.needed_by("n2") == [Cart()] * 3
    deltas.append(Cart(), "")

    assert len(deltas) == 3
    assert deltas.needed_by("n2") is None
    assert deltas.needed_by("n3") == [Cart()]
    deltas.acknowledged("n2", 1, 1)  # a late word of what it had before one was dropped
    assert deltas.needed_by("n2") is None


def test_nothing_is_shown_or_sent_before_it_is_durable() -> None:
    replica = _replica("n1")
    write = replica.add(1, "book", 2)

    assert replica.cart.quantities() == {}
    assert replica.interval_for("n2").cart == Cart()
    replica.became_durable(write)
    assert replica.cart.quantities() == {"book": 2}


def test_a_retry_is_answered_as_before_and_changes_nothing() -> None:
    """Also a retry that comes while the first is on its way to the disk, and after a restart."""
    replica = _replica("n1")
    first, again = replica.add(1, "book", 2), replica.add(1, "book", 2)
    gone = replica.remove(2, "book")
    assert (again.delta, gone.answer) == (None, [1])
    for write in (first, again, gone):
        replica.became_durable(write)
    restarted = Replica(replica.stored(), neighbours=("n2",), life=2, max_deltas=4, max_operations=10)

    assert restarted.remove(2, "book") == Write(delta=None, answer=[1])
    assert restarted.add(1, "book", 2).delta is None
    assert restarted.cart.quantities() == {}


def test_remembered_operations_are_bounded() -> None:
    replica = _replica("n1")
    for operation in range(1, 30):
        _add(replica, operation)

    assert len(replica.stored().answers) == 10


def test_a_remove_takes_what_it_saw_and_an_add_at_the_same_time_stays() -> None:
    one, two = _replica("n1"), _replica("n2")
    _add(one, 1, "book", 3)
    for _ in range(2):
        _exchange(one, two, ("n1", "n2"))
    _add(one, 2, "book", 5)
    removed = two.remove(3, "book")
    two.became_durable(removed)
    _exchange(two, one, ("n2", "n1"))
    _exchange(one, two, ("n1", "n2"))

    assert removed.answer == [1]
    assert one.cart.quantities() == two.cart.quantities() == {"book": 5}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 32, 100])
def test_neighbours_are_few_mutual_and_near_everybody(count: int) -> None:
    nodes = tuple(f"n{number}" for number in range(count))
    neighbours = {name: neighbours_of(name, nodes) for name in nodes}
    reached, hops = {nodes[0]}, 0
    while len(reached) < count:
        reached |= {peer for name in reached for peer in neighbours[name]}
        hops += 1

    assert all(name in neighbours[peer] for name in nodes for peer in neighbours[name])
    assert all(name not in peers and len(peers) <= 2 * count.bit_length() for name, peers in neighbours.items())
    assert hops <= count.bit_length()


def test_nodes_that_each_lack_another_add_are_not_in_step_although_their_quantities_are_equal() -> None:
    """The workload's last question must not end there: both adds are still on their way."""
    one, two = _replica("n1"), _replica("n2")
    _add(one, 1)
    _add(two, 2)
    ends = carts().final
    assert ends is not None
    assert ends.until is not None

    assert one.cart.quantities() == two.cart.quantities() == {"pen": 1}
    assert not ends.until(_answers(one, two))
    assert _exchange(one, two, ("n1", "n2"))
    assert _exchange(two, one, ("n2", "n1"))
    assert ends.until(_answers(one, two))


def _answers(*replicas: Replica) -> dict[str, dict[str, object]]:
    return {one.identity: {"stats": one.stats(), "state": one.cart.quantities()} for one in replicas}
