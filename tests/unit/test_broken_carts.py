"""The broken carts without a world: what each loses by hand, and which of them the laws of merging notice."""

from __future__ import annotations

import random
import re

import pytest

from pytest_coordchaos import VerdictError, assert_crdt_laws, reachable_states
from reference_systems.crdt_cart import broken_carts
from reference_systems.crdt_cart.broken_carts import Counts, Overwriting
from reference_systems.crdt_cart.cart import Cart


def test_a_merge_that_overwrites_loses_two_books_for_good() -> None:
    """The first device adds a book, the second hears of it, the first adds two more; then they merge, either way, or both."""
    first = Overwriting().add("device1", "book", 1, 1)
    second = Overwriting().merge(first)
    first = first.merge(first.add("device1", "book", 2, 2))
    assert first.quantities() == {"book": 3}

    assert first.merge(second).quantities() == {"book": 1}
    assert second.merge(first).quantities() == {"book": 3}
    both_ways = first.merge(second)
    assert (both_ways.quantities(), second.merge(both_ways).quantities()) == ({"book": 1}, {"book": 1})


def test_two_removes_of_one_thing_hide_what_is_added_next_even_with_a_right_merge() -> None:
    start = Counts().add("device1", "book", 1, 1)
    here, there = start.merge(start.take_out("device1", "book")), start.merge(start.take_out("device2", "book"))
    both = here.merge(there)
    after = both.merge(both.add("device1", "book", 1, 2))

    assert (both.quantities(), after.quantities()) == ({}, {})


def test_the_healthy_cart_loses_and_hides_nothing_of_that() -> None:
    first = Cart().add("device1", "book", 1, 1)
    second = Cart().merge(first)
    first = first.merge(first.add("device1", "book", 2, 2))
    assert first.merge(second).quantities() == second.merge(first).quantities() == {"book": 3}

    here, there = first.merge(first.take_out("device1", "book")), first.merge(first.take_out("device2", "book"))
    both = here.merge(there)
    assert both.merge(both.add("device1", "book", 1, 3)).quantities() == {"book": 1}


def _add(cart: Cart, replica: str, rng: random.Random) -> Cart:
    return cart.merge(cart.add(replica, rng.choice(["book", "pen"]), rng.randint(1, 2), rng.randint(1, 10**6)))


def _remove(cart: Cart, replica: str, rng: random.Random) -> Cart:
    return cart.merge(cart.take_out(replica, rng.choice(["book", "pen"])))


def _broken(kind: type[Cart]) -> set[str]:
    """The laws that it breaks."""
    try:
        states = reachable_states(kind(), [_add, _remove], seed=3, steps=30)
        assert_crdt_laws(kind, states=states, leq=kind.leq, updates=[lambda cart: _remove(cart, "new", random.Random(1))])
    except VerdictError as error:
        return set(re.findall(r"^not (?:the order is )?(\w+)", str(error), re.MULTILINE))
    return set()


@pytest.mark.parametrize(
    ("name", "law"),
    [("Overwriting", "commutative"), ("Summing", "idempotent"), ("Forgetful", "updates"), ("Summed", "idempotent")],
)
def test_the_laws_catch_a_wrong_merge_or_update(name: str, law: str) -> None:
    assert law in _broken(getattr(broken_carts, name))


@pytest.mark.parametrize("name", ["Counts", "Shared", "Net", "TwoPhase"])
def test_the_laws_do_not_catch_a_wrong_type_whose_merge_is_right(name: str) -> None:
    """These need a cluster and the invariant `cart`: all replicas agree on the wrong cart."""
    assert _broken(getattr(broken_carts, name)) == set()


def test_the_healthy_cart_keeps_the_laws() -> None:
    assert _broken(Cart) == set()
