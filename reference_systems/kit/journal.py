"""What of a node's files is durable, kept beside them so that a loss of power can be played: everything else is lost.

A kill leaves in the system's memory whatever was written; a machine without power keeps only what was synced. The journal
itself is never synced: it must survive kills alone. Beside `data` lies `data.durable`:

- `sizes`: slots of (inode, how many bytes of it are durable);
- `names/`: hard links, the names that are durable;
- `cut/INODE`: an offset, and the durable bytes from there on that a truncation or a rewrite took and no sync confirmed.
"""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

__all__ = ["Journal"]

_SLOT = struct.Struct(">QQ")
_OFFSET = struct.Struct(">Q")
_ALL_LOST, _TORN = 0.5, 0.8
"""Of files with unsynced bytes: the share that loses all of them, and up to here some."""


class Journal:
    """The durable state of one directory.

    Args:
        data: The directory. Where there is no journal yet, what is there counts as durable.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        home = data.with_name(f"{data.name}.durable")
        self._names, self._cuts, self._losses = home / "names", home / "cut", home / "losses"
        known = (home / "sizes").exists()
        for directory in (self._names, self._cuts):
            directory.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(home / "sizes", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._sizes: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        if known:
            self._read()
        else:
            self._all_durable()

    def _read(self) -> None:
        table = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        for slot, (inode, size) in enumerate(_SLOT.iter_unpack(table[: len(table) // _SLOT.size * _SLOT.size])):
            self._sizes[inode], self._slots[inode] = size, slot

    def _all_durable(self) -> None:
        for path in _files(self._data).values():
            status = path.stat()
            self.synced(status.st_ino, status.st_size)
        self.names_synced(self.names())

    # -- what happens to files -------------------------------------------------------------------------

    def born(self, inode: int) -> None:
        """A file was made: nothing of it is durable, whatever file had its inode before."""
        if self._sizes.get(inode):
            self.synced(inode, 0)

    def before_cut(self, fd: int, size: int) -> None:
        """An open file is about to be cut to `size` bytes: what is durable beyond is kept until a sync confirms the cut."""
        inode = os.fstat(fd).st_ino
        before = self._cut_of(inode)
        end = self._sizes.get(inode, 0) if before is None else before[0]
        if size >= end:
            return
        taken = os.pread(fd, end - size, size) + (b"" if before is None else before[1])
        draft = self._cuts / f"{inode}.new"
        draft.write_bytes(_OFFSET.pack(size) + taken)
        draft.replace(self._cuts / str(inode))

    def synced(self, inode: int, size: int) -> None:
        """So many bytes of a file are durable, and its cuts are."""
        (self._cuts / str(inode)).unlink(missing_ok=True)
        slot = self._slots.setdefault(inode, len(self._slots))
        self._sizes[inode] = size
        os.pwrite(self._fd, _SLOT.pack(inode, size), slot * _SLOT.size)

    def names(self) -> dict[str, int]:
        """The directory as it is: name -> inode."""
        return _inodes(self._data)

    def names_synced(self, now: dict[str, int]) -> None:
        """The directory as it was then is durable. What was renamed since keeps the durable name it had."""
        durable, later = _inodes(self._names), self.names()
        for name, inode in now.items():
            if durable.get(name) != inode == later.get(name):
                _relink(self._data / name, self._names / name)
        for name in durable.keys() - now.keys():
            (self._names / name).unlink()

    # -- loss of power ---------------------------------------------------------------------------------

    def lose_power(self, losses: int, draws: random.Random) -> int | None:
        """Play the losses of power that were not played yet.

        Args:
            losses: How often the machine lost power so far.
            draws: Decides what of that which was not synced is there all the same.

        Returns:
            How many bytes are gone; None: there was no such loss.
        """
        if losses <= int(self._losses.read_text() if self._losses.exists() else 0):
            return None
        gone = self._lose_names() if draws.random() < _ALL_LOST else 0
        for _, path in sorted(_files(self._data).items()):
            gone += self._tear(path, draws)
        self.names_synced(self.names())
        self._losses.write_text(str(losses))
        return gone

    def _lose_names(self) -> int:
        now, durable, gone = _inodes(self._data), _inodes(self._names), 0
        for name in now.keys() - durable.keys():
            gone += (self._data / name).stat().st_size
            (self._data / name).unlink()
        for name, inode in durable.items():
            if now.get(name) != inode:
                _relink(self._names / name, self._data / name)
        return gone

    def _tear(self, path: Path, draws: random.Random) -> int:
        """One file without power: of what was not synced nothing, a part, or all is there."""
        status, cut, chance = path.stat(), self._cut_of(path.stat().st_ino), draws.random()
        durable, size = self._sizes.get(status.st_ino, 0), status.st_size
        if cut is not None and chance < _TORN:
            with path.open("r+b") as file:
                file.truncate(cut[0])
                file.seek(cut[0])
                file.write(cut[1])
            size = durable
        elif cut is None and size > durable and chance < _TORN:
            size = durable if chance < _ALL_LOST else durable + int(draws.random() * (size - durable))
            os.truncate(path, size)
        self.synced(status.st_ino, size)
        return max(0, status.st_size - size)

    def _cut_of(self, inode: int) -> tuple[int, bytes] | None:
        try:
            record = (self._cuts / str(inode)).read_bytes()
        except FileNotFoundError:
            return None
        return _OFFSET.unpack_from(record)[0], record[_OFFSET.size :]


def _files(directory: Path) -> dict[str, Path]:
    return {entry.name: directory / entry.name for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)}


def _inodes(directory: Path) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)}


def _relink(source: Path, target: Path) -> None:
    """Give the file another name, replacing what has it, at once."""
    draft = target.with_name(f".{target.name}.link")
    draft.unlink(missing_ok=True)
    os.link(source, draft)
    draft.replace(target)
