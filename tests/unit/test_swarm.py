"""Swarm: seeds draw parts of the fault words, every word occurs over seeds, and a run has room for what it draws."""

from __future__ import annotations

import pytest

from pytest_coordchaos.faults.swarm import some_of
from pytest_coordchaos.simulation.explore import Exploration
from pytest_coordchaos.simulation.scenario import SeedResult

WORDS = ("partition:halves", "isolate:one", "pause:one", "kill:leader", "slow", "lose", "reorder")


def test_every_seed_draws_a_part_and_over_seeds_all_parts_are_drawn() -> None:
    parts = [some_of(WORDS[:4], 20.0, seed) for seed in range(200)]

    assert len(set(parts)) == 2**4 - 1
    assert all(part == tuple(word for word in WORDS if word in part) for part in parts), "in the order they were given"
    assert parts == [some_of(WORDS[:4], 20.0, seed) for seed in range(200)]


@pytest.mark.parametrize(("seconds", "most"), [(1.0, 2), (6.0, 3), (60.0, 7)])
def test_no_more_words_than_have_room_in_the_run(seconds: float, most: int) -> None:
    parts = [some_of(WORDS, seconds, seed) for seed in range(400)]

    assert max(map(len, parts)) == most
    assert {word for part in parts for word in part} == set(WORDS), "and over seeds every word still occurs"


def test_one_word_is_always_drawn_and_none_is_none() -> None:
    assert {some_of(("slow",), 5.0, seed) for seed in range(20)} == {("slow",)}
    assert some_of((), 5.0, 1) == ()


def test_the_summary_names_what_was_exercised_and_what_never() -> None:
    def seed(number: int, **faults: int) -> SeedResult:
        return SeedResult(seed=number, verdict="held", trace_hash="", operations=1, virtual_s=1.0, wall_s=0.1, faults=faults)

    found = Exploration(
        results=(seed(1, slow=2, lose=1), seed(2, slow=1), seed(3, slow=3), seed(4)),
        nodes=("n1", "n2"),
        words=("slow", "lose", "pause:one"),
    )

    assert "faults: lose 1, slow 6 (in 2 combinations); never: pause:one\n" in found.summary
    assert str(found) == found.summary
    assert repr(found) == "<Exploration of 4 seeds: all held>"
