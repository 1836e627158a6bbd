"""What a simulated transport answers about itself."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Answering"]


class Answering(asyncio.Transport):
    """The base of transports; they keep these attributes."""

    _closing: bool
    _reading_paused: bool
    _outbox_bytes: int
    _low: int
    _high: int
    _protocol: Any

    def can_write_eof(self) -> bool:
        """asyncio: yes."""
        return True

    def is_closing(self) -> bool:
        """asyncio: it was closed, or is gone."""
        return self._closing

    def is_reading(self) -> bool:
        """asyncio: neither paused nor closed."""
        return not (self._reading_paused or self._closing)

    def get_write_buffer_size(self) -> int:
        """asyncio: bytes that the receiver has no room for."""
        return self._outbox_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """asyncio: (low, high)."""
        return self._low, self._high

    def get_protocol(self) -> Any:
        """asyncio: who is told."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """asyncio: who is told from now on."""
        self._protocol = protocol
