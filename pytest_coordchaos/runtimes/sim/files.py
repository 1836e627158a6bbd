"""The files of a simulated machine whose program opens them itself: a private directory, and what of it is durable.

The files are real, in a temporary directory that goes with the simulation. `fsync` of a file makes its content durable,
`fsync` of a directory its names. A machine that loses power keeps that, and by draw the rest or none of it: of each directory the
names, of each file the content, or a part of what was appended. Zero choices keep everything.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.disk import SimDisk

__all__ = ["HOME", "FileTree", "NotTheNodes"]

HOME = "/sim"
"""The working directory, as every node sees its own."""

_LIMBO = ".removed"


class NotTheNodes(CapabilityError, PermissionError):
    """A file that no node has for itself. Programs expect a PermissionError of such files."""


class FileTree:
    """One machine's files. They survive the node's lives.

    Args:
        disk: The machine's disk, whose forced writes these are too; None: there is no machine any more.

    Attributes:
        touched: Real path -> the wall time, in nanoseconds, when it was last opened for writing.
    """

    def __init__(self, disk: SimDisk | None) -> None:
        self._disk = disk
        self._root = ""
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self.touched: dict[str, int] = {}

    @property
    def root(self) -> str:
        """The real directory; made at first use."""
        if self._disk is None:
            raise NotTheNodes("the simulation is over: no file is opened any more")
        if not self._root:
            with _for_itself():
                self._root = os.path.realpath(tempfile.mkdtemp(prefix="coordchaos-disk-"))
                os.mkdir(os.path.join(self._root, _LIMBO))
                os.mkdir(self._home)
        return self._root

    @property
    def _home(self) -> str:
        return os.path.join(self._root, "home")

    def real(self, path: str, *, write: bool) -> str:
        """The real path of what a program names. Relative to `HOME`; what lies elsewhere is this computer's, and only read.

        Raises:
            NotTheNodes: It lies elsewhere, and is to be changed.
            OSError: The disk is full.
        """
        root, whole = self.root, os.path.normpath(os.path.join(HOME, path))
        if whole == HOME or whole.startswith(HOME + "/"):
            return self._home + whole[len(HOME) :]
        if whole.startswith(root):
            return path  # as a file object or a directory entry names it
        if write:
            raise NotTheNodes(
                f"{path!r} is a file of this computer, which all nodes would share; a simulated node writes below its working "
                f"directory, by relative paths or {HOME}/…"
            )
        return path

    def check_room(self) -> None:
        """OSError when the disk is full."""
        assert self._disk is not None, "a path was asked for before"
        self._disk.check_room()

    # -- what becomes durable ------------------------------------------------------------------------

    def before_gone(self, real: str) -> None:
        """A file or an empty directory is about to lose its name: it is kept, because the loss of the name may be lost."""
        with _for_itself():
            if not os.path.exists(real):
                return
            kept = os.path.join(self.root, _LIMBO, str(os.stat(real).st_ino))
            if os.path.isfile(real) and not os.path.exists(kept):
                os.link(real, kept)
            elif os.path.isdir(real) and not os.listdir(real):
                os.rename(real, kept)
                os.mkdir(real)

    def sync(self, descriptor: int) -> None:
        """What the descriptor refers to is durable; a forced write."""
        assert self._disk is not None, "a file was opened before"
        number = os.fstat(descriptor).st_ino
        with _for_itself():
            self._note(number, self._places().get(number))
        self._disk.forced_at_once()

    def lose_power(self) -> int:
        """The machine lost power; returns how many files and directories are not what they were."""
        if not self._root or self._disk is None:
            return 0
        places, new = self._places(), os.path.join(self._root, "new")
        lost = self._rebuild(os.stat(self._home).st_ino, places, new)
        shutil.rmtree(self._home)
        shutil.rmtree(os.path.join(self._root, _LIMBO))
        os.mkdir(os.path.join(self._root, _LIMBO))
        os.rename(new, self._home)
        self._contents, self._names = {}, {}
        for number, place in self._places().items():
            self._note(number, place)  # what is there when the power comes back is durable
        return lost

    def close(self) -> None:
        """Remove all of it. Idempotent."""
        if self._root:
            shutil.rmtree(self._root, ignore_errors=True)
        self._disk = None

    # -- inside --------------------------------------------------------------------------------------

    def _note(self, number: int, place: str | None) -> None:
        """What is at that place now is durable."""
        if place is not None and os.path.isdir(place):
            self._names[number] = _entries(place)
        elif place is not None:
            self._contents[number] = Path(place).read_bytes()

    def _places(self) -> dict[int, str]:
        """Inode -> real path of everything there is, removed files too."""
        return dict(_walk(self._root))

    def _rebuild(self, number: int, places: dict[int, str], target: str) -> int:
        """What is left of a directory."""
        assert self._disk is not None, "asked before"
        os.mkdir(target)
        names, durable = _entries(places[number]) if number in places else {}, self._names.get(number, {})
        lost = 0
        if names != durable and self._disk.draws.below(2):
            names, lost = durable, 1
        for name, child in sorted(names.items()):
            place = places.get(child)
            if place is not None and os.path.isdir(place):
                lost += self._rebuild(child, places, os.path.join(target, name))
                continue
            now = Path(place).read_bytes() if place is not None else b""
            left = self._left(now, self._contents.get(child, b""))
            lost += left != now
            Path(target, name).write_bytes(left)
        return lost

    def _left(self, now: bytes, durable: bytes) -> bytes:
        """What is left of a file."""
        assert self._disk is not None, "asked before"
        choice = 0 if now == durable else self._disk.draws.below(3)
        if choice == 2 and now.startswith(durable):
            return now[: len(durable) + self._disk.draws.below(len(now) - len(durable))]
        return durable if choice else now


@contextmanager
def _for_itself() -> Iterator[None]:
    """What is done to files now is done by the simulator, not by the node that runs."""
    loop = active.loop
    if loop is None:
        yield
        return
    node, loop.node = loop.node, None
    try:
        yield
    finally:
        loop.node = node


def _walk(root: str) -> Iterator[tuple[int, str]]:
    for entry in os.scandir(root):
        yield entry.inode(), entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)


def _entries(directory: str) -> dict[str, int]:
    return {entry.name: entry.inode() for entry in os.scandir(directory)}
