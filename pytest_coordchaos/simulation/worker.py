"""The process in which simulations run: `python -m pytest_coordchaos.simulation.worker`, spoken to through pipes.

It is started with a pinned hash seed and UTC, so that the same seed gives the same run in every process. A request
is (name, arguments), an answer (ok, value); both are frames of 8 bytes length and a pickle.
"""

from __future__ import annotations

import gc
import os
import struct
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any, BinaryIO

from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.simulation.shipping import dumps, loads

__all__ = ["Pipes", "main", "read_frame", "serve", "write_frame"]

_LENGTH = struct.Struct(">Q")


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def write_frame(stream: BinaryIO, data: bytes) -> None:
    """One frame."""
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """The two ends that a worker holds."""

    requests: BinaryIO
    answers: BinaryIO

    @classmethod
    def open(cls, leash: int) -> Pipes | None:
        """Take them from standard input and output, learn the parent's path, and end with it. None: it is gone already."""
        pipes = cls(requests=os.fdopen(os.dup(0), "rb"), answers=os.fdopen(os.dup(1), "wb"))
        os.dup2(2, 1)  # what anybody prints must not get between the answers
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        threading.Thread(target=_leave_with_parent, args=(leash,), daemon=True).start()
        first = read_frame(pipes.requests)
        if first is None:
            return None
        for entry in loads(first):
            if entry not in sys.path:
                sys.path.append(entry)
        return pipes


def main() -> None:
    """Serve requests until the parent is gone."""
    pipes = Pipes.open(int(sys.argv[1]))
    if pipes is None:
        return

    from pytest_coordchaos.runtimes.sim import fences, isolation, opening, patches
    from pytest_coordchaos.simulation import debugging
    from pytest_coordchaos.simulation.serving import Service

    patches.install()
    fences.install()
    isolation.install()
    opening.install()
    debugging.install()
    service = Service()
    gc.collect()
    gc.freeze()
    gc.disable()  # finalizers run between simulations, never at a moment that depends on what was allocated before
    serve(service, pipes)


def serve(service: object, pipes: Pipes) -> None:
    """Answer requests with the service's methods, until there are no more."""
    while (frame := read_frame(pipes.requests)) is not None:
        write_frame(pipes.answers, _answer(service, frame))


def _answer(service: Any, frame: bytes) -> bytes:
    try:
        name, arguments = loads(frame)
        return dumps((True, getattr(service, name)(*arguments)))
    except CoordChaosError as error:
        return dumps((False, error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return dumps((False, CoordChaosError(f"the simulation failed: {error!r}\n{traceback.format_exc()}")))


def _leave_with_parent(leash: int) -> None:
    """Nobody holds the other end of the leash any more: leave at once, whatever runs."""
    while os.read(leash, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
