"""Starts what escapes a process group: daemons forked twice, in sessions of their own, without our environment.

`daemons.py COUNT [leave]`: prints `daemon PID` for each; with `leave` the first process then exits with status 0.
"""

import os
import signal
import sys


def daemon() -> None:
    """Returns when it has said its pid."""
    said, say = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("daemon", os.getpid(), flush=True)
            os.write(say, b".")
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        os._exit(0)
    os.wait()
    os.read(said, 1)


for _ in range(int(sys.argv[1])):
    daemon()
print("all daemons are up", flush=True)
if "leave" not in sys.argv:
    signal.pause()
