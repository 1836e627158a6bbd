"""`noop`: there, shown, and without effect."""

from __future__ import annotations

from pytest_coordchaos.relay.toxics.toxic import ToxicStage

__all__ = ["Noop"]


class Noop(ToxicStage):
    """Passes everything on at once."""

    __slots__ = ()
