"""Dialling a node through a relay that runs as a container: the asking side of `relay.tunnel`."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["DOOR_HEADER", "TOKEN_HEADER", "dial_far"]

TOKEN_HEADER, DOOR_HEADER = "coordchaos-token", "coordchaos-door"
_MAX_HEAD_BYTES = 4096


async def dial_far(control: tuple[str, int], token: str, door: str, target: tuple[str, int]) -> socket.socket:
    """A connection to a node, as if it had been dialled from the door.

    Args:
        control: Where the relay's control API listens.
        token: What it asks for.
        door: The UNIX socket of an ambassador, as the relay sees it.

    Raises:
        OSError: The relay or the node cannot be reached, or refused.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, control)
        lines = (
            f"CONNECT {target[0]}:{target[1]} HTTP/1.1",
            "Host: relay",
            f"{TOKEN_HEADER}: {token}",
            f"{DOOR_HEADER}: {door}",
        )
        await loop.sock_sendall(sock, "\r\n".join((*lines, "", "")).encode())
        head = await _head(sock)
        if head.split(b" ")[1:2] != [b"200"]:
            raise ConnectionRefusedError(f"the relay did not reach {target[0]}:{target[1]}")
    except BaseException:
        sock.close()
        raise
    return sock


async def _head(sock: socket.socket) -> bytes:
    """The answer's head and not one byte more: what follows is the node's."""
    loop, head = asyncio.get_running_loop(), bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = await loop.sock_recv(sock, 1)
        if not byte or len(head) >= _MAX_HEAD_BYTES:
            raise ConnectionAbortedError("the relay gave no answer")
        head += byte
    return bytes(head)
