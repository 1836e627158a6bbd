"""How a simulated program reaches its own files: `open`, `os` and what stands on them, with the node's directory below.

Put in place by the attributes of modules, before programs are imported. Names that C code, or code loaded before, holds
itself (`sqlite3`, `io.FileIO`) reach the real files.
"""

from __future__ import annotations

import builtins
import glob
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.clock import EPOCH_NS, START_NS
from pytest_coordchaos.runtimes.sim.files import HOME, FileTree

__all__ = ["install", "uninstall"]

_given: dict[tuple[Any, str], Any] = {}

_LOOK = ("access", "readlink", "statvfs", "listxattr", "getxattr")
_CHANGE = ("mkdir", "chmod", "chown", "utime", "truncate", "mkfifo", "mknod", "lchown", "setxattr", "removexattr")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _tree() -> FileTree | None:
    loop = active.loop
    return None if loop is None or loop.node is None else loop.node.files


def install() -> None:
    """Put them in place. Idempotent."""
    if _given:
        return
    for owner in (builtins, io):
        _replace(owner, "open", _open)
    for name in _LOOK:
        _replace(os, name, _on_path(write=False))
    for name in _CHANGE:
        _replace(os, name, _on_path(write=True))
    for name in ("stat", "lstat"):
        _replace(os, name, _stat)
    for name in ("remove", "unlink", "rmdir"):
        _replace(os, name, _remove)
    for name in ("rename", "replace", "link"):
        _replace(os, name, _move)
    for name in ("fsync", "fdatasync"):
        _replace(os, name, _sync)
    _replace(os, "open", _os_open)
    _replace(os, "symlink", _symlink)
    _replace(os, "listdir", _listdir)
    _replace(os, "scandir", _scandir)
    _replace(os, "getcwd", lambda original: lambda: original() if _tree() is None else HOME)
    _replace(os, "chdir", _chdir)
    globber = getattr(glob, "_StringGlobber", None)  # since 3.13, pathlib looks through names of its own
    if globber is not None:
        for name in ("lstat", "scandir"):
            _replace(globber, name, _as_static(getattr(os, name)))


def uninstall() -> None:
    """Put the real ones back. Idempotent."""
    for (owner, name), value in _given.items():
        setattr(owner, name, value)
    _given.clear()


def _replace(owner: Any, name: str, wrapped: Callable[[Any], Any]) -> None:
    original = getattr(owner, name, None)
    if original is not None:
        _given[owner, name] = original
        setattr(owner, name, wrapped(original))


def _as_static(function: Any) -> Callable[[Any], Any]:
    return lambda original: staticmethod(function)


def _real(tree: FileTree, path: Any, *, write: bool) -> Any:
    """The real path; descriptors are what they are."""
    if path is None:
        path = "."
    return path if isinstance(path, int) else tree.real(os.fsdecode(path), write=write)


def _done(path: Any, act: Callable[[], Any]) -> Any:
    """Do it; an error names the file as the program does."""
    try:
        return act()
    except OSError as error:
        if error.filename is not None and not isinstance(path, int):
            error.filename = os.fspath(path) if path is not None else "."
        raise


def _on_path(*, write: bool) -> Callable[[Any], Any]:
    def wrapped(original: Any) -> Any:
        def instead(path: Any, *arguments: Any, **options: Any) -> Any:
            tree = _tree()
            if tree is None or options.get("dir_fd") is not None:
                return original(path, *arguments, **options)
            real = _real(tree, path, write=write)
            return _done(path, lambda: original(real, *arguments, **options))

        return instead

    return wrapped


def _open(original: Any) -> Any:
    def instead(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        tree = _tree()
        if tree is None or isinstance(file, int):
            return original(file, mode, *arguments, **options)
        write = any(letter in mode for letter in "wax+")
        real = _real(tree, file, write=write)
        if write:
            _about_to_write(tree, real)
        return _done(file, lambda: original(real, mode, *arguments, **options))

    return instead


def _os_open(original: Any) -> Any:
    def instead(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        tree = _tree()
        if tree is None or dir_fd is not None:
            return int(original(path, flags, mode, dir_fd=dir_fd))
        write = bool(flags & _WRITING)
        real = _real(tree, path, write=write)
        if write:
            _about_to_write(tree, real)
        return int(_done(path, lambda: original(real, flags, mode)))

    return instead


def _about_to_write(tree: FileTree, real: str) -> None:
    tree.check_room()
    tree.touched[real] = _wall_ns()


def _wall_ns() -> int:
    loop = active.loop
    assert loop is not None, "a node runs"
    assert loop.node is not None, "as above"
    return loop.node.clock.wall_ns(loop.now_ns)


def _stat(original: Any) -> Any:
    """Times of a node's files are virtual: when they were last opened for writing."""

    def instead(path: Any, **options: Any) -> Any:
        tree = _tree()
        if tree is None or options.get("dir_fd") is not None or isinstance(path, int):
            return original(path, **options)
        real = _real(tree, path, write=False)
        found = _done(path, lambda: original(real, **options))
        if not str(real).startswith(tree.root):
            return found
        at_ns = tree.touched.get(real, EPOCH_NS + START_NS)
        more = {f"st_{which}time{unit}": at_ns if unit else at_ns / 1e9 for which in "amc" for unit in ("", "_ns")}
        return os.stat_result((*found[:7], *[at_ns // 10**9] * 3), more)

    return instead


def _remove(original: Any) -> Any:
    def instead(path: Any, *, dir_fd: int | None = None) -> None:
        tree = _tree()
        if tree is None or dir_fd is not None:
            original(path, dir_fd=dir_fd)
            return
        real = _real(tree, path, write=True)
        tree.before_gone(real)
        _done(path, lambda: original(real))

    return instead


def _move(original: Any) -> Any:
    def instead(src: Any, dst: Any, **options: Any) -> None:
        tree = _tree()
        if tree is None or options.get("src_dir_fd") is not None or options.get("dst_dir_fd") is not None:
            original(src, dst, **options)
            return
        old, new = _real(tree, src, write=True), _real(tree, dst, write=True)
        if original.__name__ != "link":
            tree.before_gone(new)
        tree.touched[new] = tree.touched.get(old, _wall_ns())
        _done(src, lambda: original(old, new, **options))

    return instead


def _symlink(original: Any) -> Any:
    def instead(src: Any, dst: Any, *arguments: Any, **options: Any) -> None:
        if _tree() is not None:
            raise CapabilityError("os.symlink() is not simulated: what it points to may lie outside of the node's directory")
        original(src, dst, *arguments, **options)

    return instead


def _sync(original: Any) -> Any:
    def instead(fd: Any) -> None:
        tree = _tree()
        if tree is None:
            original(fd)
        else:
            tree.sync(fd if isinstance(fd, int) else fd.fileno())

    return instead


def _listdir(original: Any) -> Any:
    def instead(path: Any = None) -> list[Any]:
        tree = _tree()
        if tree is None:
            return list(original(path))
        real = _real(tree, path, write=False)
        return sorted(_done(path, lambda: original(real)))

    return instead


class _Entry:
    """An `os.DirEntry` with the path as the program names it."""

    def __init__(self, entry: Any, directory: Any) -> None:
        self.name = entry.name
        self.path = entry.name if directory is None else os.path.join(directory, entry.name)
        self.inode, self.is_dir, self.is_file, self.is_symlink = entry.inode, entry.is_dir, entry.is_file, entry.is_symlink

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """As `os.stat` does it."""
        return os.stat(self.path, follow_symlinks=follow_symlinks)

    def __fspath__(self) -> Any:
        return self.path


class _Entries:
    """What `os.scandir` gives, in one order."""

    def __init__(self, entries: Any, directory: Any) -> None:
        with entries:
            self._entries = iter([_Entry(entry, directory) for entry in sorted(entries, key=lambda entry: str(entry.name))])

    def __iter__(self) -> Iterator[_Entry]:
        return self._entries

    def __next__(self) -> _Entry:
        return next(self._entries)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """It was read already."""


def _scandir(original: Any) -> Any:
    def instead(path: Any = None) -> Any:
        tree = _tree()
        if tree is None or isinstance(path, int):
            return original(path)
        real = _real(tree, path, write=False)
        return _done(path, lambda: _Entries(original(real), None if path is None else os.fspath(path)))

    return instead


def _chdir(original: Any) -> Any:
    def instead(path: Any) -> None:
        if _tree() is not None:
            raise CapabilityError("os.chdir() is not simulated: every node would be moved; use paths")
        original(path)

    return instead
