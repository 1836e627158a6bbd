"""One keeper process per node: the subreaper under which everything a node starts must end.

Whatever a node forks (daemons that fork twice, start their own session and overwrite their
environment included) becomes the keeper's child when its parent ends, so that a node's processes
are exactly the keeper's descendants. When the node's first process ends, the keeper kills the rest:
a dead node that still answers would be a lie. A keeper is a fork of the watchdog without an exec,
which costs a millisecond. It outlives a SIGKILL of the watchdog just long enough to kill its tree.

It reports by JSON lines on a pipe: {"pid"} or {"error"}; {"status"} when the first process has ended;
{"cpu_s"} when all is gone; then end of file.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import signal

from pytest_coordchaos.runtimes import procfs
from pytest_coordchaos.runtimes.hosts import enter_private_hosts

__all__ = ["become_subreaper", "fork_keeper"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from pytest_coordchaos.runtimes.orders import Order

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_REPORT_FD = 3
_NEWS = (signal.SIGCHLD, signal.SIGTERM)
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Make orphans among our descendants our children (PR_SET_CHILD_SUBREAPER)."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def fork_keeper(order: Order) -> tuple[int, int]:
    """Fork a keeper that starts what the order says; returns its pid and the read end of its reports.

    Returns only when the keeper has let go of everything it inherited: its copy of another node's holder would keep
    that node's port taken for as long as this keeper is not scheduled.
    """
    read_end, write_end = os.pipe()
    alone, still_holding = os.pipe()
    parent = os.getpid()
    keeper = os.fork()
    if keeper:
        os.close(write_end)
        os.close(still_holding)
        os.read(alone, 1)  # the end of file: the keeper's copy is closed, with all the others
        os.close(alone)
        return keeper, read_end
    try:
        _keep(order, write_end, still_holding, parent)
    finally:
        os._exit(70)


def _keep(order: Order, write_end: int, still_holding: int, watchdog: int) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_BLOCK, _NEWS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # blocked, not ignored: it is taken by sigwait
    _keep_only(write_end, still_holding)
    become_subreaper()
    _die_with(watchdog, signal.SIGTERM)
    node, error = _start(order)
    _report({"error": error} if error else {"pid": node})
    _watch(node)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    _report({"cpu_s": usage.ru_utime + usage.ru_stime})
    os._exit(0)


def _watch(node: int) -> None:
    """Wait for the node's first process, then end all others. SIGTERM means: the watchdog is gone."""
    ended = False
    while True:
        reaped, any_left = _reap()
        if node in reaped:
            _report({"status": os.waitstatus_to_exitcode(reaped[node])})
            ended = True
        if not any_left:
            return
        if ended:
            for stat in procfs.descendants(os.getpid()):
                _kill(stat.pid)
            signal.sigtimedwait([signal.SIGCHLD], 0.002)
        elif signal.sigwait(_NEWS) == signal.SIGTERM:
            _kill(node)
            ended = True


def _reap() -> tuple[dict[int, int], bool]:
    """Take every child that has ended: pid -> status, and whether any child is left."""
    reaped: dict[int, int] = {}
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return reaped, True
            reaped[pid] = status
    except ChildProcessError:
        return reaped, False


def _start(order: Order) -> tuple[int, str]:
    """Fork the node's first process and wait for its exec; returns its pid and an error text or ''."""
    read_end, write_end = os.pipe()
    keeper = os.getpid()
    node = os.fork()
    if node == 0:
        try:
            _become(order, keeper)
        except BaseException as error:
            os.write(write_end, str(error).encode())
        finally:
            os._exit(127)
    os.close(write_end)
    with open(read_end, encoding="utf-8", errors="replace") as answer:
        return node, answer.read()  # the exec closes the other end


def _become(order: Order, keeper: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(order["cwd"])
    if order["hosts"]:
        enter_private_hosts(order["hosts"])
    _die_with(keeper, signal.SIGKILL)  # after the namespaces: a change of credentials clears it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # an exec keeps ignored signals ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        raise RuntimeError(f"cannot run {order['argv'][0]!r}: {error.strerror}") from None


def _die_with(parent: int, number: int) -> None:
    """Have the kernel send us a signal when our parent ends, also if it has ended already."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _keep_only(write_end: int, still_holding: int) -> None:
    """Close what the watchdog had open: held ports, locks and the channel must end with *it*.

    `still_holding` comes last: its number may be the lowest of all where a lent port has left a gap.
    """
    last = fcntl.fcntl(still_holding, fcntl.F_DUPFD_CLOEXEC, _REPORT_FD + 1)
    os.dup2(write_end, _REPORT_FD, inheritable=False)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > _REPORT_FD and number != last:
            try:
                os.close(number)
            except OSError:
                continue  # the descriptor of the listing itself
    os.close(last)


def _report(line: dict[str, object]) -> None:
    try:
        os.write(_REPORT_FD, json.dumps(line).encode() + b"\n")
    except OSError:
        pass  # nobody listens any more


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
