"""The types of toxics by name. Pure."""

from __future__ import annotations

from pytest_coordchaos.relay.toxics.bandwidth import Bandwidth
from pytest_coordchaos.relay.toxics.latency import Latency
from pytest_coordchaos.relay.toxics.limit_data import LimitData
from pytest_coordchaos.relay.toxics.noop import Noop
from pytest_coordchaos.relay.toxics.reset_peer import ResetPeer
from pytest_coordchaos.relay.toxics.slicer import Slicer
from pytest_coordchaos.relay.toxics.slow_close import SlowClose
from pytest_coordchaos.relay.toxics.timeout import Timeout
from pytest_coordchaos.relay.toxics.toxic import ToxicStage

__all__ = ["TYPES"]

TYPES: dict[str, type[ToxicStage]] = {
    kind.type: kind for kind in (Latency, Bandwidth, SlowClose, Timeout, ResetPeer, Slicer, LimitData, Noop)
}
"""Type name -> the stage it puts on a connection."""
