"""What asyncio's loop offers and a simulation refuses: each raises at the call, with a sentence."""

# mypy: disable-error-code="override"
# asyncio's signatures do not matter where nothing is done with the arguments.
from __future__ import annotations

import asyncio
from typing import Any

from pytest_coordchaos.errors import CapabilityError

__all__ = ["Refused", "SignalsNotSimulated", "refusal"]

_DESCRIPTOR = "a file descriptor belongs to the real machine"
_PROGRAM = "another program would live on the real clock"
_STREAMS = "use asyncio's streams, or create_connection"


class SignalsNotSimulated(CapabilityError, RuntimeError):
    """A node of a simulation is sent no signals. asyncio's own error for that is a RuntimeError too."""


def refusal(what: str, why: str) -> CapabilityError:
    """The error of a call that is not simulated."""
    return CapabilityError(f"loop.{what}() is not simulated: {why}")


class Refused(asyncio.AbstractEventLoop):
    """Mixed into the simulated loop."""

    def add_signal_handler(self, *arguments: Any) -> None:
        """Refused, with the error that asyncio has for systems without signals: programs expect it."""
        raise SignalsNotSimulated("signals are not simulated: a simulated node is killed, paused and resumed by its runtime")

    def remove_signal_handler(self, sig: int) -> bool:
        """asyncio: there never was one."""
        return False

    def set_default_executor(self, executor: Any) -> None:
        """asyncio: without effect; what is given to executors runs on the loop."""

    def add_reader(self, *arguments: Any) -> Any:
        """Refused."""
        raise refusal("add_reader", _DESCRIPTOR)

    def add_writer(self, *arguments: Any) -> Any:
        """Refused."""
        raise refusal("add_writer", _DESCRIPTOR)

    def remove_reader(self, *arguments: Any) -> Any:
        """Refused."""
        raise refusal("remove_reader", _DESCRIPTOR)

    def remove_writer(self, *arguments: Any) -> Any:
        """Refused."""
        raise refusal("remove_writer", _DESCRIPTOR)

    async def connect_read_pipe(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("connect_read_pipe", _DESCRIPTOR)

    async def connect_write_pipe(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("connect_write_pipe", _DESCRIPTOR)

    async def subprocess_exec(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("subprocess_exec", _PROGRAM)

    async def subprocess_shell(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("subprocess_shell", _PROGRAM)

    async def sock_recv(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_recv", _STREAMS)

    async def sock_recv_into(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_recv_into", _STREAMS)

    async def sock_recvfrom(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_recvfrom", _STREAMS)

    async def sock_recvfrom_into(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_recvfrom_into", _STREAMS)

    async def sock_sendall(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_sendall", _STREAMS)

    async def sock_sendto(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_sendto", _STREAMS)

    async def sock_accept(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_accept", _STREAMS)

    async def sock_sendfile(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sock_sendfile", _STREAMS)

    async def sendfile(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("sendfile", _STREAMS)

    async def create_unix_connection(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("create_unix_connection", _STREAMS)

    async def create_unix_server(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("create_unix_server", _STREAMS)

    async def connect_accepted_socket(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("connect_accepted_socket", _STREAMS)

    async def start_tls(self, *arguments: Any, **more: Any) -> Any:
        """Refused."""
        raise refusal("start_tls", "TLS records hold randomness that no seed decides; speak plain text in sim")
