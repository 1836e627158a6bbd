"""The standalone relay's log: one JSON object a line on stdout, as toxiproxy-server writes it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

__all__ = ["LEVELS", "Log"]

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic", "disabled")
"""From everything to nothing."""


class Log:
    """Writes what is at or above a level.

    Args:
        level: One of `LEVELS`; an unknown one is complained about and taken for "trace".
    """

    def __init__(self, level: str) -> None:
        known = level.lower() in LEVELS
        self._from = LEVELS.index(level.lower()) if known else 0
        if level and not known:
            self.write("error", f'unknown LOG_LEVEL value: "{level}"')

    def write(self, level: str, message: str, **fields: object) -> None:
        """Write one line."""
        if LEVELS.index(level) < self._from:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = {"level": level, **fields, "time": now, "message": message}
        print(json.dumps(line, separators=(",", ":"), ensure_ascii=False), file=sys.stdout, flush=True)
