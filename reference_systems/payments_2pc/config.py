"""The knobs of a node, checked once, and who holds which account. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from reference_systems.kit.options import from_options

__all__ = ["EACH", "Config", "Placement"]

EACH = "each"
"""`coordinator=EACH`: every node coordinates what its own clients ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `System(options=…)` can set. Times in milliseconds.

    Args:
        accounts: How many there are: a1, a2, …
        initial: What each holds at first.
        coordinator: The node that coordinates all transactions, or "each".
        coordinator_holds_accounts: Whether that one node is a participant too.
        presumed: "abort" (commits are logged and acknowledged) or "commit" (aborts are).
        read_only: A participant that has nothing to change says so in its vote, and is told no decision.
        vote_timeout_ms: A transaction whose votes are not in by then is aborted.
        resend_ms: How often a decision is sent again to whoever has not acknowledged it.
        inquire_ms: How long a participant in doubt waits before it asks, and asks again.
        remembered: Finished transactions, and idempotency keys, that a node remembers; the oldest go first.
        compact_bytes: The log is replaced by its state when it is longer.
        max_request_bytes: Longest request body.
    """

    accounts: int = 8
    initial: int = 100
    coordinator: str = "n1"
    coordinator_holds_accounts: bool = False
    presumed: str = "abort"
    read_only: bool = False
    vote_timeout_ms: float = 500.0
    resend_ms: float = 200.0
    inquire_ms: float = 300.0
    remembered: int = 10_000
    compact_bytes: int = 1024 * 1024
    max_request_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool):
                fine, allowed = isinstance(value, bool), "true or false"
            elif isinstance(field.default, str):
                fine, allowed = isinstance(value, str) and bool(value), "a name"
            else:
                kind = int if isinstance(field.default, int) else (int, float)
                fine, allowed = isinstance(value, kind) and not isinstance(value, bool) and value >= 1, "a number from 1"
            if not fine:
                raise ValueError(f"payments_2pc option {field.name}={value!r} is not allowed: {allowed}")
        if self.presumed not in ("abort", "commit"):
            raise ValueError(f"payments_2pc option presumed={self.presumed!r} is not allowed: abort or commit")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Config:
        """From plain options.

        Raises:
            ValueError: An option that does not exist, or a value out of range.
        """
        return from_options(cls, "payments_2pc", options)

    def acknowledged(self, commit: bool) -> bool:
        """Whether participants force and acknowledge this decision: the one that is not presumed."""
        return commit == (self.presumed == "abort")


class Placement:
    """Who holds which account: account k is at the participant k modulo their number, for ever.

    Raises:
        ValueError: The coordinator is no node.
    """

    def __init__(self, nodes: Sequence[str], config: Config) -> None:
        if config.coordinator not in (EACH, *nodes):
            allowed = ", ".join(nodes)
            raise ValueError(f"payments_2pc option coordinator={config.coordinator!r} is not allowed: each, or one of {allowed}")
        apart = config.coordinator != EACH and not config.coordinator_holds_accounts and len(nodes) > 1
        self.participants = tuple(node for node in nodes if not (apart and node == config.coordinator))
        """The nodes that hold accounts."""
        self.accounts = tuple(f"a{number}" for number in range(1, config.accounts + 1))
        """All accounts."""
        self._holders = {name: self.participants[at % len(self.participants)] for at, name in enumerate(self.accounts)}

    def holder(self, account: str) -> str | None:
        """The node that holds the account; None: there is no such account."""
        return self._holders.get(account)

    def held_by(self, node: str) -> tuple[str, ...]:
        """The accounts of one node."""
        return tuple(account for account, holder in self._holders.items() if holder == node)
