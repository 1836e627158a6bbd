"""Which nodes must be enough: drawn from what the System declares."""

from __future__ import annotations

from random import Random

import pytest

from pytest_coordchaos import Live, System, UsageError

FIVE = ("n1", "n2", "n3", "n4", "n5")


@pytest.mark.parametrize(("nodes", "count", "sets"), [("majority", 3, 10), ("all", 5, 1), ("any", 1, 5)])
def test_the_declared_number_of_nodes_is_drawn_and_over_seeds_every_set_of_them(nodes: str, count: int, sets: int) -> None:
    drawn = {Live(nodes=nodes).drawn(FIVE, Random(seed)) for seed in range(200)}

    assert {len(one) for one in drawn} == {count}
    assert len(drawn) == sets
    assert all(one == tuple(sorted(one)) for one in drawn)


def test_a_function_says_which_nodes_are_left() -> None:
    live = Live(nodes=lambda nodes, rng: ["n4", nodes[0]])

    assert live.drawn(FIVE, Random(1)) == ("n1", "n4")
    for wrong in ([], ["n9"]):
        with pytest.raises(UsageError, match="allowed: one or more of n1, n2"):
            Live(nodes=lambda nodes, rng, wrong=wrong: wrong).drawn(FIVE, Random(1))  # type: ignore[misc]  # a default binds it


def test_what_is_not_known_is_refused_and_a_system_is_live_with_a_majority() -> None:
    assert System(nodes=3, command=["true"]).live == Live(nodes="majority", within_s=None)
    with pytest.raises(UsageError, match="nodes='most' is not known; allowed: majority, all, any, or a function"):
        Live(nodes="most")
    with pytest.raises(UsageError, match="within_s=0 is not allowed"):
        Live(within_s=0)
