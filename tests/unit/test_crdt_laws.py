"""`assert_crdt_laws`: what it must catch, what it says, and what it lets pass."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from pytest_coordchaos import UsageError, VerdictError, assert_crdt_laws, reachable_states
from reference_systems.crdt import CounterMap, GCounter


@dataclass
class Cart:
    """A cart that counts what each device added. Changes itself, as carts in articles do; its merge overwrites."""

    device: str
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, number: int) -> None:
        self.counts[self.device] = self.counts.get(self.device, 0) + number

    def merge(self, other: Cart) -> None:
        self.counts.update(other.counts)

    @property
    def books(self) -> int:
        return sum(self.counts.values())


class Mended(Cart):
    """The same with the larger count of each device."""

    def merge(self, other: Cart) -> None:
        for device, count in other.counts.items():
            self.counts[device] = max(count, self.counts.get(device, 0))


def _add(cart: Cart, device: str, rng: random.Random) -> None:
    cart.add(rng.randint(1, 2))


def _same(one: Cart, two: Cart) -> bool:
    return one.counts == two.counts


def _leq(one: Cart, two: Cart) -> bool:
    return all(count <= two.counts.get(device, 0) for device, count in one.counts.items())


def _broken_laws(said: str) -> set[str]:
    return set(re.findall(r"^not (\w+)", said, re.MULTILINE))


def test_two_books_are_lost_for_good_by_a_merge_that_overwrites() -> None:
    """One device adds a book, the other merges; the first adds two more. Either way round, then both ways."""
    first, second = Cart("device1"), Cart("device2")
    first.add(1)
    second.merge(first)
    first.add(2)
    one, other = Cart("device1", dict(first.counts)), Cart("device2", dict(second.counts))
    one.merge(second)
    other.merge(first)
    assert (one.books, other.books) == (1, 3)

    first.merge(second)
    second.merge(first)
    assert (first.books, second.books) == (1, 1)


def test_a_merge_that_overwrites_is_neither_commutative_nor_inflationary_and_else_fine() -> None:
    states = reachable_states(Cart, [_add], replicas=("device1", "device2"), seed=1)

    with pytest.raises(VerdictError) as caught:
        assert_crdt_laws(Cart, states=states, leq=_leq, equal=_same)

    assert _broken_laws(str(caught.value)) == {"commutative", "inflationary"}


def test_an_order_made_of_merge_would_have_called_it_inflationary() -> None:
    """Why the order is asked for."""
    states = reachable_states(Cart, [_add], replicas=("device1", "device2"), seed=1)

    def derived(one: Cart, two: Cart) -> bool:
        merged = Cart(one.device, dict(one.counts))
        merged.merge(two)
        return _same(merged, two)

    with pytest.raises(VerdictError) as caught:
        assert_crdt_laws(Cart, states=states, leq=derived, equal=_same)

    assert "inflationary" not in _broken_laws(str(caught.value))


def test_the_mended_cart_passes_although_it_works_in_place() -> None:
    states = reachable_states(Mended, [_add], replicas=("device1", "device2"), seed=1)

    def more(cart: Mended) -> Mended:
        cart.add(1)
        return cart

    assert_crdt_laws(Mended, states=states, leq=_leq, equal=_same, updates=[more])


def test_the_counterexample_is_the_smallest_found() -> None:
    """Of many states that break it, the text shows the two with the fewest words."""
    states = [GCounter(counts={"a": number}) for number in range(1, 6)]

    with pytest.raises(VerdictError) as caught:
        assert_crdt_laws(GCounter, states=states, leq=GCounter.leq, merge=lambda one, other: other)

    assert "    a = GCounter(counts={'a': 1})\n    b = GCounter(counts={'a': 2})\n" in str(caught.value)
    assert "merge(a, b) = GCounter(counts={'a': 2})" in str(caught.value)


def _sum(one: GCounter, other: GCounter) -> GCounter:
    names = {**one.counts, **other.counts}
    return GCounter(counts={name: one.counts.get(name, 0) + other.counts.get(name, 0) for name in names})


def _middle(one: GCounter, other: GCounter) -> GCounter:
    """Commutative and idempotent, but the order of three matters, and it goes down."""
    names = {**one.counts, **other.counts}
    return GCounter(counts={name: (one.counts.get(name, 0) + other.counts.get(name, 0)) // 2 for name in names})


def _increment(state: GCounter, replica: str, rng: random.Random) -> GCounter:
    return state.merge(state.increment(replica, rng.randint(1, 4)))


@pytest.mark.parametrize(
    ("merge", "laws"),
    [
        (_sum, {"idempotent"}),
        (_middle, {"inflationary", "associative"}),
        (lambda one, other: one, {"commutative", "inflationary"}),
    ],
)
def test_each_wrong_merge_breaks_its_laws(merge, laws: set[str]) -> None:
    states = reachable_states(GCounter(), [_increment], seed=2)

    with pytest.raises(VerdictError) as caught:
        assert_crdt_laws(GCounter, states=states, leq=GCounter.leq, merge=merge)

    assert _broken_laws(str(caught.value)) == laws


def test_an_update_that_goes_down_is_caught() -> None:
    states = reachable_states(GCounter(), [_increment], seed=2)

    with pytest.raises(VerdictError, match="not updates are inflationary"):
        assert_crdt_laws(
            GCounter, states=states, leq=GCounter.leq, updates=[lambda state: replace(state, counts={**state.counts, "a": 0})]
        )


def test_an_order_that_tells_nothing_apart_is_caught() -> None:
    """Else every merge would be inflationary."""
    states = reachable_states(GCounter(), [_increment], seed=2)

    with pytest.raises(VerdictError, match="the order is antisymmetric"):
        assert_crdt_laws(GCounter, states=states, leq=lambda one, other: True)


class Sharing(Cart):
    """Merging takes over the other's dictionary itself when there is nothing of its own to keep."""

    def merge(self, other: Cart) -> None:
        if not self.counts:
            self.counts = other.counts
        else:
            Mended.merge(self, other)  # type: ignore[arg-type]  # what both have is enough


def test_a_merge_that_shares_memory_with_its_input_is_caught() -> None:
    states = reachable_states(Sharing, [_add], replicas=("device1", "device2"), seed=1)

    with pytest.raises(VerdictError, match="pure: merge does not change b, then or later"):
        assert_crdt_laws(Sharing, states=states, leq=_leq, equal=_same)


def test_a_merge_that_changes_its_own_side_and_returns_it_is_caught() -> None:
    def merge(one: Cart, other: Cart) -> Cart:
        Mended.merge(one, other)  # type: ignore[arg-type]  # what both have is enough
        return one

    states = reachable_states(Mended, [_add], replicas=("device1", "device2"), seed=1)

    with pytest.raises(VerdictError, match="pure: merge does not change a"):
        assert_crdt_laws(Mended, states=states, leq=_leq, equal=_same, merge=merge)


def test_states_may_be_a_function_of_a_seeded_source() -> None:
    drawn: list[float] = []

    def states(rng: random.Random) -> Iterator[CounterMap]:
        drawn.append(rng.random())
        empty = CounterMap()
        return iter([empty, empty.increment("a", "x"), empty.increment("b", "y", -2)])

    assert_crdt_laws(CounterMap, states=states, leq=CounterMap.leq, seed=5)
    assert_crdt_laws(CounterMap, states=states, leq=CounterMap.leq, seed=5)
    assert drawn[0] == drawn[1]


def test_too_few_or_foreign_states_are_refused() -> None:
    with pytest.raises(UsageError, match="1 different states; at least 2"):
        assert_crdt_laws(GCounter, states=[GCounter(), GCounter()], leq=GCounter.leq)
    with pytest.raises(UsageError, match="7 is no GCounter"):
        assert_crdt_laws(GCounter, states=[GCounter(), 7], leq=GCounter.leq)  # type: ignore[list-item]  # the point


def test_the_same_seed_reaches_the_same_states_and_old_states_arrive_late() -> None:
    one, again = (reachable_states(GCounter(), [_increment], seed=7) for _ in range(2))

    assert one == again
    assert one != reachable_states(GCounter(), [_increment], seed=8)
    assert any(not earlier.leq(later) for earlier, later in itertools.pairwise(one))
