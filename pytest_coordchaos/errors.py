"""Every exception the package raises on purpose.

CoordChaosError
├── UsageError            the caller's words are off: what, where, what is allowed
├── StartError            a system could not be started (carries the last log lines)
├── CapabilityError       the runtime cannot do what was asked, by name
├── FaultError            a fault could not be applied or undone
├── RelayError            the relay refused a call or went away
├── UnreadableHistory     a file is not a history of the format it was read as
└── VerdictError          a verdict that must fail a test
Failed                    raised by a client: the operation surely did not happen
"""

from __future__ import annotations

__all__ = [
    "CapabilityError",
    "CoordChaosError",
    "Failed",
    "FaultError",
    "RelayError",
    "StartError",
    "UnreadableHistory",
    "UsageError",
    "VerdictError",
]


class CoordChaosError(Exception):
    """Base of every error of this package."""


class UsageError(CoordChaosError, ValueError):
    """Bad input. The message is one sentence: what was wrong, where it was given, what is allowed."""


class StartError(CoordChaosError):
    """A system did not start.

    Args:
        message: One sentence naming the node and the condition that was not met.
        log_tail: The node's last log lines, oldest first.
    """

    def __init__(self, message: str, log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(message + "".join(f"\n    | {line}" for line in log_tail))
        self.log_tail = log_tail


class CapabilityError(CoordChaosError):
    """The runtime declares that it cannot do this."""


class FaultError(CoordChaosError):
    """A fault could not be applied, proven or undone."""


class RelayError(CoordChaosError):
    """The relay answered with an error, or is gone."""


class UnreadableHistory(CoordChaosError, ValueError):
    """A file does not hold a history of the format it was said to have."""


class VerdictError(CoordChaosError, AssertionError):
    """At least one verdict of a run is not acceptable."""


class Failed(Exception):
    """Raised by a client's `call`: the operation surely did not happen.

    Any other exception means that nobody knows (Jepsen's `info`).
    """
