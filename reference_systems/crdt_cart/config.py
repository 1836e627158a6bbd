"""The knobs of a node, checked once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from reference_systems.kit.options import from_options

__all__ = ["Config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `System(options=…)` can set.

    Args:
        sync_ms: A node sends each neighbour what is new to it about this often (half to once).
        answer_ms: A neighbour that has not acknowledged for so long is asked again over a new connection.
        max_deltas: Deltas kept for neighbours that are behind; one that misses more gets the whole cart.
        max_log_bytes: When the log is longer, it is replaced by one record of the state.
        max_operations: Client operations whose outcome is remembered, so that a retry does nothing twice.
        volatile: 1: whatever the disk holds is lost at each start, as on a machine with a new disk.
    """

    sync_ms: float = 100.0
    answer_ms: float = 500.0
    max_deltas: int = 256
    max_log_bytes: int = 256 * 1024
    max_operations: int = 1024
    volatile: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, lowest = getattr(self, field.name), 0 if field.name == "volatile" else 1
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < lowest:
                raise ValueError(f"crdt_cart option {field.name}={value!r} is not allowed: a number from {lowest}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Config:
        """From plain options.

        Raises:
            ValueError: An option that does not exist, or a value out of range.
        """
        return from_options(cls, "crdt_cart", options)
