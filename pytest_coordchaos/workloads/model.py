"""What a workload and a client are. Pure data and records of functions."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Call", "Client", "Final", "Request", "Workload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An operation to perform, before anybody performed it.

    Args:
        f: What to ask ("get", "put", "cas" …).
        key: The object.
        value: The argument.
    """

    f: str
    key: Any = None
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request on its way: what a client's `call` receives.

    Args:
        id: The operation's id, for frames that carry one.
        request: What to do.
        timeout_s: Seconds after which the driver gives up and records info.
    """

    id: int
    request: Request
    timeout_s: float

    @property
    def f(self) -> str:
        """What to ask."""
        return self.request.f

    @property
    def key(self) -> Any:
        """The object."""
        return self.request.key

    @property
    def value(self) -> Any:
        """The argument."""
        return self.request.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How to talk to a system: a record of functions, each a plain function or a coroutine function.

    Plain functions run in worker threads, so blocking drivers are welcome.

    Args:
        connect: `(cluster, node)` -> connection. Ask `cluster.address(node, port)` for addresses:
            they lead through the client's link.
        call: `(connection, call)` -> result. Raise `Failed` when it surely did not happen;
            anything else that is raised means nobody knows.
        close: `(connection)`; optional.
    """

    connect: Callable[[Any, str], Any | Awaitable[Any]]
    call: Callable[[Any, Call], Any | Awaitable[Any]]
    close: Callable[[Any], Any | Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """What every living node is asked when the load and the faults are over, again and again until the answers satisfy.

    The answers are operations of the history like others, with `node=` set, so that invariants can look at what nodes
    believe in the end; they count in no budget. While faults are in force they are asked once, and nobody waits.

    Args:
        requests: Asked of each node, one after the other.
        until: Node -> `f` -> result: whether that is the end; asked when every node has answered everything.
            None: one answer of each is enough.
        within_s: Give up after so long; what was answered by then is in the history.
    """

    requests: Sequence[Request]
    until: Callable[[Mapping[str, Mapping[str, Any]]], bool] | None = None
    within_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Operations to draw, and the invariants that fit them.

    Args:
        name: For reports.
        requests: Random source -> endless (or finite) stream of requests. One stream per run,
            shared by all clients in order of demand.
        invariants: Names of invariants checked without being asked for.
        model: The checker's model ("key-value", "cas-register" …) for those invariants.
        clients: Concurrent clients.
        rate_per_s: Operations per second of all clients together (open loop: latency runs from the
            intended start); None: each client asks again as soon as it was answered.
        operations: Stop after so many; None: only the time limit.
        timeout_s: A call that takes longer is recorded as info.
        client: Overrides the System's client.
        final: What nodes are asked in the end; None: nothing.
    """

    name: str
    requests: Callable[[random.Random], Iterator[Request]]
    invariants: Sequence[str] = ("linearizable",)
    model: str | None = None
    clients: int = 5
    rate_per_s: float | None = None
    operations: int | None = None
    timeout_s: float = 1.0
    client: Client | None = None
    final: Final | None = None
