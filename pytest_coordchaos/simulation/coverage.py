"""What a set of partitions covers, and how many random ones a promise needs. Pure.

Majumdar & Niksic, "Why is random testing effective for partition tolerance bugs?" (POPL 2018): tests that each reach
any one of |G| goals with probability p reach all of them with probability of at least 1 - |G| (1-p)^N.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

__all__ = ["needed", "statement"]

Groups = Sequence[Sequence[str]]

_CONFIDENCE = 0.95


def needed(goals: int, probability: float) -> int:
    """Random tests after which all goals are reached with 95 % probability, if each test reaches each with `probability`."""
    if goals < 1 or probability >= 1:
        return 1
    return math.ceil(math.log((1 - _CONFIDENCE) / goals) / math.log(1 - probability))


def statement(nodes: Sequence[str], partitions: Iterable[Groups]) -> str:
    """One sentence: how many partitions there were, what they separated, and what random ones of that number promise."""
    count, pairs, splits = 0, set[tuple[str, str]](), set[frozenset[str]]()
    first = nodes[0] if nodes else ""
    for groups in partitions:
        count += 1
        sides = [frozenset(group) for group in groups]
        pairs |= {(a, b) for a, b in combinations(nodes, 2) if not any(a in side and b in side for side in sides)}
        if len(sides) == 2 and sides[0] | sides[1] == frozenset(nodes) and not sides[0] & sides[1]:
            splits.add(sides[0] if first in sides[0] else sides[1])
    if not count:
        return "no partition was made"
    all_pairs, all_splits = math.comb(len(nodes), 2), 2 ** (len(nodes) - 1) - 1
    share = 2 ** (len(nodes) - 2) / all_splits if all_splits else 1.0
    for_pairs, for_splits = needed(all_pairs, share), needed(all_splits, 1 / all_splits if all_splits else 1.0)
    promise = "all splits" if count >= for_splits else "all pairs" if count >= for_pairs else "neither"
    return (
        f"{count} partitions separated {len(pairs)} of {all_pairs} pairs and made {len(splits)} of {all_splits} splits in two; "
        f"so many random ones separate {promise} with {_CONFIDENCE:.0%} probability "
        f"(pairs need {for_pairs}, splits {for_splits})"
    )
