"""A simulated disk: what was written, what of it is durable, and what a loss of power leaves.

A process that is killed loses nothing it has written: the system's memory holds it. A machine without power keeps what
was synced, and of the rest a part: of each file a prefix of its changes, the last of them perhaps torn; of the
directory a prefix of its changes. Zero choices keep everything.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_coordchaos.runtimes.sim.kernel import Kernel
from pytest_coordchaos.runtimes.sim.ledger import SimLedger
from pytest_coordchaos.runtimes.sim.tape import Stream

if TYPE_CHECKING:
    from pytest_coordchaos.runtimes.sim.files import FileTree

__all__ = ["DiskModel", "SimDisk", "SimLogFile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskModel:
    """How long a disk takes, in nanoseconds.

    Args:
        sync_ns: The least time of a forced write.
        sync_jitter_ns: A draw below this is added, mostly a small one.
        sync_tail_ns: One sync in 256 adds a draw below this.
    """

    sync_ns: int = 300_000
    sync_jitter_ns: int = 2_000_000
    sync_tail_ns: int = 40_000_000

    @classmethod
    def free(cls) -> DiskModel:
        """Forced writes that take no time."""
        return cls(sync_ns=0, sync_jitter_ns=0, sync_tail_ns=0)


class _File:
    """One file: its content, and the states it went through since it was last synced."""

    __slots__ = ("content", "durable", "states")

    def __init__(self) -> None:
        self.content = b""
        self.durable = b""
        self.states: list[bytes] = []

    def change(self, content: bytes) -> None:
        self.content = content
        self.states.append(content)

    def synced(self, states: int, content: bytes) -> None:
        """The first so many changes are durable."""
        self.durable = content
        del self.states[:states]


class SimDisk:
    """One machine's directory. It survives the node's lives.

    Args:
        loop: Time.
        node: The machine's name.
        model: How long syncs take.
        draws: The stream of chance.
        ledger: Told of forced writes.

    Attributes:
        syncs: Forced writes so far.
        slow_ns: What faults add to each forced write.
        full: It takes no more.
        files: What a program has there that opens its files itself; None: it uses this disk.
    """

    def __init__(self, loop: Kernel, node: str, model: DiskModel, draws: Stream, ledger: SimLedger) -> None:
        self.loop = loop
        self.node = node
        self.syncs = self.slow_ns = 0
        self.full = False
        self.files: FileTree | None = None
        self._model = model
        self._draws = draws
        self._ledger = ledger
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._renamings: list[dict[str, _File]] = []

    # -- what nodes ask ----------------------------------------------------------------------------

    async def read(self, name: str) -> bytes | None:
        """The whole file; None when there is none."""
        file = self._names.get(_checked(name))
        return None if file is None else file.content

    async def write(self, name: str, data: bytes) -> None:
        """Create or replace the content; not synced. OSError: the disk is full."""
        self.check_room()
        self.open(name).change(bytes(data))

    async def sync(self, name: str) -> None:
        """Make the file's content durable; a forced write. FileNotFoundError when there is none."""
        file = self._names.get(_checked(name))
        if file is None:
            raise FileNotFoundError(2, f"{self.node}: there is no file {name!r}")
        await self.force(file)

    async def rename(self, old: str, new: str) -> None:
        """Give the file another name, replacing what had it; durable after `sync_dir`."""
        names = dict(self._names)
        try:
            names[_checked(new)] = names.pop(_checked(old))
        except KeyError:
            raise FileNotFoundError(2, f"{self.node}: there is no file {old!r}") from None
        self._change_names(names)

    async def sync_dir(self) -> None:
        """Make creations, renames and removals durable; a forced write."""
        names, count = self._names, len(self._renamings)

        def done() -> None:
            self._durable_names = names
            del self._renamings[:count]

        await self._forced(done)

    async def remove(self, name: str) -> None:
        """Remove the file if there is one; durable after `sync_dir`."""
        if _checked(name) in self._names:
            self._change_names({kept: file for kept, file in self._names.items() if kept != name})

    async def list_files(self) -> list[str]:
        """Names of the files, sorted."""
        return sorted(self._names)

    async def open_log(self, name: str) -> SimLogFile:
        """Open for appending; created when there is none."""
        return SimLogFile(self, self.open(name))

    # -- inside ------------------------------------------------------------------------------------

    def check_room(self) -> None:
        """OSError when the disk is full."""
        if self.full:
            raise OSError(errno.ENOSPC, f"{self.node}: no space left on the disk")

    def open(self, name: str) -> _File:
        """The file of that name, created when there is none."""
        file = self._names.get(_checked(name))
        if file is None:
            file = _File()
            self._change_names({**self._names, name: file})
        return file

    async def force(self, file: _File) -> None:
        """Sync one file."""
        states, content = len(file.states), file.content
        await self._forced(lambda: file.synced(states, content))

    @property
    def draws(self) -> Stream:
        """The stream of chance."""
        return self._draws

    def forced_at_once(self) -> None:
        """A forced write that took no time: the program waited without the loop."""
        self.syncs += 1
        self.loop.cause = self._ledger.synced(self.node, self.loop.now_ns, self.loop.now_ns, self.loop.cause)

    async def _forced(self, done: Callable[[], None]) -> None:
        loop, begun_ns, cause = self.loop, self.loop.now_ns, self.loop.cause
        finished: asyncio.Future[None] = loop.create_future()
        self._ledger.asked(self.node)

        def complete() -> None:
            done()
            self.syncs += 1
            loop.cause = self._ledger.synced(self.node, begun_ns, loop.now_ns, cause)
            if not finished.done():
                finished.set_result(None)

        loop.call_at_ns(begun_ns + self._sync_ns(), complete)
        await finished

    def _sync_ns(self) -> int:
        model = self._model
        took = model.sync_ns + self.slow_ns
        if model.sync_jitter_ns:
            chance = self._draws.below(256)
            took += model.sync_jitter_ns * chance * chance >> 16
            if chance == 255 and model.sync_tail_ns:
                took += self._draws.below(model.sync_tail_ns)
        return took

    def _change_names(self, names: dict[str, _File]) -> None:
        self._names = names
        self._renamings.append(names)

    def lose_power(self) -> int:
        """The machine lost power: keep what was synced and a drawn part of the rest; returns how many changes were lost."""
        lost = 0 if self.files is None else self.files.lose_power()
        if self._renamings:
            gone = self._draws.below(len(self._renamings) + 1)
            lost += gone
            if gone:
                states = [self._durable_names, *self._renamings]
                self._names = states[len(states) - 1 - gone]
        self._durable_names, self._renamings = self._names, []
        files: dict[int, _File] = {id(file): file for file in self._names.values()}
        for file in files.values():
            lost += self._tear(file)
        return lost

    def _tear(self, file: _File) -> int:
        if not file.states:
            return 0
        gone = self._draws.below(len(file.states) + 1)
        if gone:
            states = [file.durable, *file.states]
            kept, next_one = states[len(states) - 1 - gone], states[len(states) - gone]
            file.content = kept
            if len(next_one) > len(kept) and next_one.startswith(kept):  # an append: a part of it may be there
                file.content += _torn(next_one[len(kept) :], self._draws)
        file.durable, file.states = file.content, []
        return gone


class SimLogFile:
    """An append-only file of a simulated disk."""

    def __init__(self, disk: SimDisk, file: _File) -> None:
        self._disk = disk
        self._file = file
        self._syncing = asyncio.Lock()

    @property
    def size(self) -> int:
        """Bytes in the file, synced or not."""
        return len(self._file.content)

    def append(self, data: bytes) -> None:
        """Write at the end; durable after the next sync. OSError: the disk is full."""
        self._disk.check_room()
        self._file.change(self._file.content + data)

    async def sync(self) -> None:
        """Make what was appended durable; syncs of one file never overlap."""
        async with self._syncing:
            await self._disk.force(self._file)

    async def truncate(self, size: int) -> None:
        """Cut to `size` bytes; durable after the next sync."""
        async with self._syncing:
            self._file.change(self._file.content[:size])

    def close(self) -> None:
        """Give the file back. Idempotent."""


def _torn(data: bytes, draws: Stream) -> bytes:
    """What of an append reached the disk: a prefix, or blocks of zeros where the size was written before the data."""
    size = draws.below(len(data))
    return data[:size] + bytes(len(data) - size) if draws.below(4) == 3 else data[:size]


def _checked(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"file name {name!r} is not allowed: a plain name inside the node's directory")
    return name
