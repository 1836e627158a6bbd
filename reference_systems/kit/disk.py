"""The real disk behind `env.disk`: one directory, explicit syncs, in a worker thread so that the loop goes on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from reference_systems.kit.journal import Journal
from reference_systems.kit.machine import Machine

__all__ = ["RealDisk", "RealLogFile"]


async def _in_thread(call: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, call)


class RealLogFile:
    """An append-only file with `fdatasync`; syncs of one file never overlap."""

    def __init__(self, path: Path, machine: Machine, journal: Journal) -> None:
        self._machine = machine
        self._journal = journal
        self._fd = _open(path, journal)
        self._inode = os.fstat(self._fd).st_ino
        self._size = os.lseek(self._fd, 0, os.SEEK_END)
        self._syncing = asyncio.Lock()

    @property
    def size(self) -> int:
        """Bytes in the file, synced or not."""
        return self._size

    def append(self, data: bytes) -> None:
        """Write at the end (page cache). Raises OSError; the tail may then be torn."""
        self._machine.check_room()
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, self._size)
            self._size += written
            view = view[written:]

    async def sync(self) -> None:
        """`fdatasync`. Raises OSError; the kernel may have dropped the pages, so never retry."""
        async with self._syncing:
            size = self._size
            await _in_thread(lambda: self._machine.forced(lambda: os.fdatasync(self._fd)))
            self._journal.synced(self._inode, size)

    async def truncate(self, size: int) -> None:
        """Cut to `size` bytes; durable after the next sync."""
        async with self._syncing:
            self._journal.before_cut(self._fd, size)
            os.ftruncate(self._fd, size)
            self._size = size

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RealDisk:
    """One directory of the file system. Names are plain file names, never paths.

    Args:
        directory: Where the files are.
        machine: How its disk behaves; None: as the host's.

    Attributes:
        journal: What of it is durable.
    """

    def __init__(self, directory: Path, machine: Machine | None = None) -> None:
        self._machine = machine or Machine(directory)
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(directory)

    def _path(self, name: str) -> Path:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"file name {name!r} is not allowed: a plain name inside the node's directory")
        return self._directory / name

    async def read(self, name: str) -> bytes | None:
        """The whole file; None when there is none."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    async def write(self, name: str, data: bytes) -> None:
        """Create or replace the content; not atomic, not synced. Raises OSError."""
        self._machine.check_room()
        path = self._path(name)
        await _in_thread(lambda: _write(path, data, self.journal))

    async def sync(self, name: str) -> None:
        """`fsync` of the file."""
        path = self._path(name)
        status = path.stat()
        await _in_thread(lambda: self._machine.forced(lambda: _fsync(path, os.O_RDONLY)))
        self.journal.synced(status.st_ino, status.st_size)

    async def rename(self, old: str, new: str) -> None:
        """Atomic within the directory; durable after `sync_dir`."""
        os.replace(self._path(old), self._path(new))

    async def sync_dir(self) -> None:
        """`fsync` of the directory."""
        names = self.journal.names()
        await _in_thread(lambda: self._machine.forced(lambda: _fsync(self._directory, os.O_RDONLY | os.O_DIRECTORY)))
        self.journal.names_synced(names)

    async def remove(self, name: str) -> None:
        """Remove the file if there is one."""
        self._path(name).unlink(missing_ok=True)

    async def list_files(self) -> list[str]:
        """Names of the plain files, sorted."""
        return sorted(entry.name for entry in os.scandir(self._directory) if entry.is_file())

    async def open_log(self, name: str) -> RealLogFile:
        """Open for appending; created when there is none."""
        return RealLogFile(self._path(name), self._machine, self.journal)


def _open(path: Path, journal: Journal) -> int:
    """The file's descriptor; made where there is none."""
    made = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if made:
        journal.born(os.fstat(fd).st_ino)
    return fd


def _write(path: Path, data: bytes, journal: Journal) -> None:
    with os.fdopen(_open(path, journal), "r+b") as file:
        journal.before_cut(file.fileno(), 0)
        file.truncate(0)
        file.write(data)


def _fsync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
