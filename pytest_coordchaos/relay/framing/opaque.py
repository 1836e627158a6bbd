"""The framer of undeclared protocols: bytes and turns are counted elsewhere, messages are unknown."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_coordchaos.relay.framing.base import NONE, Frame

__all__ = ["OpaqueFramer"]


class OpaqueFramer:
    """Sees no messages."""

    __slots__ = ("lost",)

    def __init__(self) -> None:
        self.lost = True

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Nothing."""
        return NONE

    def finish(self) -> Sequence[Frame]:
        """Nothing."""
        return NONE
