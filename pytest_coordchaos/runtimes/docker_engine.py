"""The container engine: which one, asking it from a loop, and one sentence for each way in which it fails.

The SDK blocks, and its client is not made for several threads: each worker thread has a client of its own. No version of the
API is pinned: it is negotiated once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_coordchaos.errors import CapabilityError, CoordChaosError

if TYPE_CHECKING:
    import docker

__all__ = ["Engine", "EngineError", "answers"]

_WORKERS = 32
_CALL_S = 60
_NONE_NEEDED = "runtime 'process' needs none"

_Result = TypeVar("_Result")


class EngineError(CoordChaosError):
    """The engine refused a request, or is gone.

    Attributes:
        status: The HTTP status it refused with; 0 when it was not asked at all.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Engine:
    """The engine that DOCKER_HOST, else the docker context in force, else the usual socket leads to. Made by `connect`.

    Attributes:
        address: Its address, for messages.
        unix_path: The path of its UNIX socket; "" where it is reached otherwise.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = {"version": "auto", "timeout": _CALL_S, **arguments}
        self._of_thread = threading.local()
        self._clients: set[docker.APIClient] = set()
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="coordchaos-docker")
        self.address: str = arguments.get("base_url") or _usual_address()
        self.unix_path = _unix_path(self.address)

    @classmethod
    async def connect(cls) -> Engine:
        """Find the engine and ask it for its version.

        Raises:
            CapabilityError: There is none, or this user may not use it.
        """
        engine = cls(await asyncio.to_thread(_where))
        try:
            engine.knock()
            await engine.run(lambda client: client.ping())
        except EngineError as error:
            engine.close()
            raise CapabilityError(str(error)) from None
        return engine

    def knock(self) -> None:
        """See whether anybody listens; the SDK would leave a socket open where nobody does. EngineError: nobody, or not to us."""
        if not self.unix_path:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.connect(self.unix_path)
            except OSError as error:
                raise EngineError(_unreachable(self.address, error)) from None

    async def run(self, call: Callable[[docker.APIClient], _Result]) -> _Result:
        """Make a call in a worker thread, on that thread's own client.

        Raises:
            EngineError: One sentence: what it refused, or why it cannot be reached.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.call, call)

    def call(self, call: Callable[[docker.APIClient], _Result]) -> _Result:
        """Make a call in this thread. EngineError: as for `run`."""
        try:
            return call(self._client())
        except Exception as error:
            raise self._translated(error) from None

    def release(self) -> None:
        """Close this thread's client: the thread is about to end."""
        client = self._of_thread.__dict__.pop("client", None)
        if client is not None:
            self._clients.discard(client)
            client.close()

    def close(self) -> None:
        """Let go of the engine, once the calls under way are done. Idempotent."""
        self._threads.shutdown(cancel_futures=True)
        while self._clients:
            self._clients.pop().close()

    def _client(self) -> docker.APIClient:
        client = getattr(self._of_thread, "client", None)
        if client is None:
            import docker

            client = self._of_thread.client = docker.APIClient(**self._arguments)
            self._arguments["version"] = client.api_version  # the next thread need not ask
            self._clients.add(client)
        return client

    def _translated(self, error: Exception) -> Exception:
        import docker.errors
        import requests.exceptions

        if isinstance(error, docker.errors.APIError):
            return EngineError(" ".join(str(error.explanation or error).split()), int(error.status_code or 0))
        known = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
        return EngineError(_unreachable(self.address, error)) if isinstance(error, known) else error


async def answers() -> str | None:
    """None when an engine answers here, else why not."""
    try:
        engine = await Engine.connect()
    except CapabilityError as error:
        return str(error)
    engine.close()
    return None


def _where() -> dict[str, Any]:
    """Arguments of a client, as the `docker` command would choose: DOCKER_HOST, DOCKER_CONTEXT, the current context."""
    import docker.utils

    if os.environ.get("DOCKER_HOST"):
        return dict(docker.utils.kwargs_from_env())
    from docker.context import ContextAPI
    from docker.context.config import get_current_context_name

    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if not name or name == "default":
        return {}
    context = ContextAPI.get_context(name)
    if context is None:
        raise CapabilityError(f"The docker context {name!r} is not known here; `docker context ls` lists them; {_NONE_NEEDED}")
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _usual_address() -> str:
    import docker.constants

    return str(docker.constants.DEFAULT_UNIX_SOCKET).replace("http+unix", "unix")


def _unix_path(address: str) -> str:
    scheme, _, path = address.partition("://")
    return "/" + path.lstrip("/") if scheme in ("unix", "http+unix") else ""


def _unreachable(address: str, error: BaseException) -> str:
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) or "Permission denied" in str(cause) for cause in causes):
        return (
            f"The container engine at {address} may not be used by this user (permission denied): join the group that owns "
            f"its socket, or run a rootless engine and set DOCKER_HOST; {_NONE_NEEDED}"
        )
    if any(
        isinstance(cause, FileNotFoundError | ConnectionRefusedError) or "Connection refused" in str(cause) for cause in causes
    ):
        return f"No container engine answers at {address}: start one, or set DOCKER_HOST; {_NONE_NEEDED}"
    return f"The container engine at {address} does not answer: {' '.join(str(error).split()) or type(error).__name__}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised from, and the exceptions among its arguments."""
    while error is not None:
        yield error
        yield from (inner for argument in error.args if isinstance(argument, BaseException) for inner in _causes(argument))
        error = error.__cause__ or error.__context__
