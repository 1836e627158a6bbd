"""Whether this machine reaches an address of another network, and from which of its own."""

from __future__ import annotations

import errno
import socket

__all__ = ["address_towards"]

_UNUSED_PORT = 1  # nobody listens there, so that reaching it is no connection anybody could take for a bypass
_DEADLINE_S = 2.0
_REFUSED = (0, errno.ECONNREFUSED)


def address_towards(host: str) -> str | None:
    """The address of this machine that `host` sees; None when `host` does not even refuse within two seconds."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.settimeout(_DEADLINE_S)
        if sock.connect_ex((host, _UNUSED_PORT)) not in _REFUSED:
            return None
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, _UNUSED_PORT))
        address: str = sock.getsockname()[0]
        return address
