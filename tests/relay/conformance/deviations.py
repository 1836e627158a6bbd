"""Where the relay differs from Toxiproxy 2.12 on purpose. Each is a test that Toxiproxy fails and the relay passes."""

from __future__ import annotations

import pytest

__all__ = ["DEVIATIONS", "deviation"]

DEVIATIONS = {
    "toxicity": "one draw per connection and toxic; Toxiproxy draws anew whenever a neighbour is added or removed",
    "seed": "-seed decides all draws; Toxiproxy ignores it",
    "linger": "reset_peer at toxicity 0 does nothing; Toxiproxy turns every close into a reset",
    "open-reset": "reset_peer resets connections opened before it too; Toxiproxy only closes them",
    "half-close": "the end of one direction leaves the other open; Toxiproxy closes both",
    "reset-kept": "a reset arrives as a reset; Toxiproxy makes a clean end of it",
    "stalled": "toxics are added, changed and removed although a receiver stalls; Toxiproxy wedges",
    "update-whole": "an update that is refused changes nothing; Toxiproxy keeps what it read before the error",
    "dial": "an upstream that does not answer holds up nobody else; Toxiproxy dials in its accept loop",
    "live-metrics": "counters grow while connections are open; Toxiproxy's when they end",
    "rearm": "reset_peer removed before its time lets the connection live; Toxiproxy waits, and resets it",
    "odd-values": "attributes that make no sense do no harm; a negative rate or an average_size of 0 ends Toxiproxy's process",
    "waiting-chunk": "what waits in latency obeys a change; Toxiproxy lets the oldest chunk go at once",
}
"""Name -> what differs."""


def deviation(name: str) -> pytest.MarkDecorator:
    """Marks a test that the relay passes and Toxiproxy fails."""
    assert name in DEVIATIONS, name
    return pytest.mark.deviation(name)
