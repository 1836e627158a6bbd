"""Links that share one address are told apart by who dials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from pytest_coordchaos.relay.wire import LinkSpec

__all__ = ["link_from", "rival_of"]


class _Sourced(Protocol):
    spec: LinkSpec


L = TypeVar("L", bound=_Sourced)


def rival_of(links: Sequence[L], sources: tuple[str, ...]) -> L | None:
    """A link whose diallers could not be told from these (none given: everybody else)."""
    mine = set(sources)
    return next((link for link in links if mine & set(link.spec.sources) or (not mine and not link.spec.sources)), None)


def link_from(links: Sequence[L], host: str) -> L | None:
    """Whose dialler somebody at this address is; None: nobody's."""
    named = next((link for link in links if host in link.spec.sources), None)
    return named or next((link for link in links if not link.spec.sources), None)
