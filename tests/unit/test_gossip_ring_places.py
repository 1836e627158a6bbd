"""The consistent-hash ring, pure: stable places, balance, and keys that stay where they were."""

from __future__ import annotations

import pytest

from reference_systems.gossip_ring.requests import BadRequest, Request, parse
from reference_systems.gossip_ring.ring import SIZE, Ring, place_of

KEYS = [f"key-{number}" for number in range(2000)]


def ring(*names: str, points: int = 128) -> Ring:
    """A ring with these on it."""
    made = Ring(points)
    made.set_members(names)
    return made


def test_places_are_the_same_in_every_process() -> None:
    """Written down once: a hash that another process computes otherwise sends lookups in circles."""
    assert [place_of(text) for text in ("", "key-1", "n1#0")] == [16476032584258269876, 4645804100768122847, 3644195303879665199]


@pytest.mark.parametrize("n", [3, 5, 32])
def test_shares_are_even_add_up_and_say_who_owns_how_much(n: int) -> None:
    names = [f"n{number}" for number in range(1, n + 1)]
    made = ring(*names)
    shares = made.shares()
    assert list(shares) == sorted(names)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares.values()) * n < 1.4
    owners = [made.owner(key) for key in KEYS]
    assert owners.count("n1") / len(KEYS) == pytest.approx(shares["n1"], abs=0.04)


def test_a_key_belongs_to_the_first_point_at_or_after_it_and_the_last_one_goes_round() -> None:
    one = ring("a", "b", points=1)
    places = sorted((place_of(f"{name}#0"), name) for name in "ab")
    for key in KEYS[:50]:
        later = [name for place, name in places if place >= place_of(key)]
        assert one.owner(key) == (later or [places[0][1]])[0]
    assert 0 <= places[0][0] < places[1][0] < SIZE


def test_only_keys_of_who_comes_or_goes_move_and_a_ring_does_not_depend_on_the_way_to_it() -> None:
    changing = ring("n1", "n2", "n3", "n4")
    before = {key: changing.owner(key) for key in KEYS}
    changing.set_members(["n1", "n2", "n3", "n4", "n5"])
    after = {key: changing.owner(key) for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {"n5"}
    assert len(moved) / len(KEYS) == pytest.approx(1 / 5, abs=0.05)
    changing.set_members(["n4", "n3", "n2", "n1"])
    assert {key: changing.owner(key) for key in KEYS} == before
    assert Ring(8).owner("anything") is None


def test_requests_are_checked() -> None:
    assert parse(b'{"f":"lookup","key":"k","hops":2}') == Request(f="lookup", key="k", hops=2)
    assert parse(b'{"f":"members","key":null}') == Request(f="members")
    for body, says in (
        (b"{", "is not JSON"),
        (b"[]", "f=None is not known; allowed: lookup"),
        (b'{"f":"put"}', "f='put' is not known"),
        (b'{"f":"lookup"}', "key=None is not allowed: a string"),
        (b'{"f":"lookup","key":"k","hops":-1}', "hops=-1 is not allowed: a whole number from 0"),
    ):
        with pytest.raises(BadRequest, match=says):
            parse(body)
