"""Which of many fault words one seed tries. Pure.

Groce et al., "Swarm Testing" (ISSTA 2012): runs that each leave out a random part of what is possible find more than
runs that all do everything. Some faults hide what others would show, and with fewer of them each has its usual length.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from pytest_coordchaos.faults.chance import below, shuffled
from pytest_coordchaos.faults.plan import usual_events

__all__ = ["some_of"]


def some_of(words: Sequence[str], seconds: float, seed: int) -> tuple[str, ...]:
    """A random part of the words, never none: each is in with a chance of one half, and no more than have room.

    Args:
        words: Fault words.
        seconds: Length of the run.
        seed: Draws the part. Another seed, another part: over seeds every word occurs.
    """
    rng = random.Random(f"{seed}:swarm")
    deck = shuffled(rng, range(len(words)))
    room = max(2, usual_events(seconds))
    drawn = [place for place in deck if below(rng, 2)] or deck[:1]
    return tuple(words[place] for place in sorted(drawn[:room]))
