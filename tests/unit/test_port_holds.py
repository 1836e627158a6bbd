"""A reserved port is nobody else's, for connections and for datagrams alike, until it is lent."""

from __future__ import annotations

import socket

import pytest

from pytest_coordchaos.runtimes.holds import Holds

KINDS = [socket.SOCK_STREAM, socket.SOCK_DGRAM]


def bind(address: tuple[str, int], kind: int) -> None:
    """Bind and let go again."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(address)


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_port_cannot_be_bound_until_it_is_lent(kind: int) -> None:
    holds = Holds()
    try:
        (address,) = holds.reserve(1, "127.0.0.1")
        with pytest.raises(OSError, match="in use"):
            bind(address, kind)
        holds.lend([address])
        bind(address, kind)
        holds.retake([address])
        with pytest.raises(OSError, match="in use"):
            bind(address, kind)
    finally:
        holds.close()
    bind(address, kind)


def test_an_opened_holder_takes_no_datagrams() -> None:
    """Of two sockets that share a port only one gets them."""
    holds = Holds()
    try:
        (address,) = holds.reserve(1, "127.0.0.1")
        holds.open_all()
        bind(address, socket.SOCK_DGRAM)
    finally:
        holds.close()
