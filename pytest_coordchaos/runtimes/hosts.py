"""A private /etc/hosts for one process tree, without being root.

The process enters its own mount namespace (and, where it is not root, its own user namespace in
which it keeps its user id), makes all mounts private and binds its file over /etc/hosts. Nothing
outside sees it, and it ends with the process. Standard library only: the watchdog uses it between
fork and exec. Not a resolver: programs that never read /etc/hosts do not see the names.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys

__all__ = ["HOSTS", "enter_private_hosts", "hosts_text", "refusal", "user_namespaces_available"]

HOSTS = "/etc/hosts"

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)

_WAY_OUT = (
    "allow it (sysctl user.max_user_namespaces > 0, kernel.unprivileged_userns_clone=1, on Ubuntu "
    "kernel.apparmor_restrict_unprivileged_userns=0, in a container --security-opt seccomp=unconfined "
    "and apparmor=unconfined), or use addresses='per-node'"
)


def enter_private_hosts(path: str) -> None:
    """Give this process, and all it will start, the file at `path` as /etc/hosts. One thread only.

    Raises:
        OSError: The kernel refused a step; `strerror` names the step.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 or not _has_own_mounts():
        _check("unshare(user, mount)", _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS))
        _write("/proc/self/setgroups", "deny")  # the kernel wants it before gid_map of an unprivileged process
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _check("mount(private)", _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    _check(f"mount(bind {HOSTS})", _libc.mount(os.fsencode(path), HOSTS.encode(), None, _MS_BIND, None))


def hosts_text(hosts: dict[str, str], base: str) -> str:
    """The text of a hosts file: our names, then the machine's own lines that do not name them too.

    Args:
        hosts: Name -> address.
        base: The machine's own hosts file.
    """
    kept = [line for line in base.splitlines() if not set(line.partition("#")[0].split()[1:]) & hosts.keys()]
    return "".join(f"{line}\n" for line in [*(f"{address}\t{name}" for name, address in hosts.items()), *kept])


def refusal() -> str | None:
    """Try it in a forked child: None when it works, else what the kernel refused and what to do.

    Only for a process with one thread; others ask `user_namespaces_available`.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            enter_private_hosts(HOSTS)
        except OSError as error:
            os.write(write_end, f"{error.strerror}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as answer:
        why = answer.read()
    os.waitpid(child, 0)
    return f"the kernel refused a private hosts file ({why}); {_WAY_OUT}" if why else None


@functools.cache
def user_namespaces_available() -> str | None:
    """Whether nodes can have private hosts files: None when they can, else the reason. Asked once per process."""
    import subprocess

    command = [sys.executable, "-I", "-S", os.path.abspath(__file__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or None


def _has_own_mounts() -> bool:
    return bool(_libc.unshare(_CLONE_NEWNS) == 0)


def _check(step: str, result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{step}: {os.strerror(code)}")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        if error.errno == errno.ENOENT and path.endswith("setgroups"):
            return  # kernels before 3.19 have no such file and need none
        raise OSError(error.errno, f"write {path}: {error.strerror}") from None


if __name__ == "__main__":
    print(refusal() or "")
