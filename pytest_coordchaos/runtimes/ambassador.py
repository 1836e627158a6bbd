"""The program of an ambassador container: hands out sockets of its own network namespace.

Run inside the container with the standard library alone (`python3 -I -S -c TEXT DIRECTORY`; Python 3.9 or later, so no
import of our own). It listens on the UNIX socket `door.sock` of a directory that is mounted from outside. Who connects asks
by three bytes: family (`4` or `6`), kind (`t` TCP or `u` UDP), and how many (1 to 250). The answer is one byte: `k` together
with that many fresh, unbound sockets (SCM_RIGHTS), or `e` with one line of text that says why not. A socket belongs for ever
to the namespace it was made in: whoever holds it binds, listens and dials there. The asking side is `doors.py`.

The first line it prints is the kernel's boot id, which tells an engine on this kernel from one in a virtual machine; the second
one, `open`, says that its door is open.
It ends with its container.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

SOCKET_NAME = "door.sock"
FAMILIES = {b"4": socket.AF_INET, b"6": socket.AF_INET6}
KINDS = {b"t": socket.SOCK_STREAM, b"u": socket.SOCK_DGRAM}


def answer(connection: socket.socket, request: bytes) -> None:
    """Make the sockets one request asks for and send them."""
    made: list[socket.socket] = []
    try:
        for _ in range(request[2]):
            made.append(socket.socket(FAMILIES[request[0:1]], KINDS[request[1:2]]))  # noqa: PERF401  # those made so far are closed
        socket.send_fds(connection, [b"k"], [sock.fileno() for sock in made])
    except (OSError, KeyError) as error:
        connection.sendall(b"e" + repr(error).encode() + b"\n")
    finally:
        for sock in made:
            sock.close()


def talk(connection: socket.socket) -> None:
    """Answer one asker until it leaves."""
    with connection:
        try:
            while len(request := connection.recv(3, socket.MSG_WAITALL)) == 3:
                answer(connection, request)
        except OSError:
            return  # it left in the middle


def main(directory: str) -> None:
    """Serve for ever."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # as the first process of a container it would be ignored
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        print("boot", file.read().strip(), flush=True)
    os.makedirs(directory, exist_ok=True)
    os.chdir(directory)  # a path of a UNIX socket has 108 bytes
    scratch = SOCKET_NAME + ".new"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(scratch)
        os.chmod(scratch, 0o666)  # the asker is another user where the engine maps users; the directory above keeps strangers out
        listener.listen(64)
        os.rename(scratch, SOCKET_NAME)  # now it is there, and whoever sees it can connect
        print("open", flush=True)
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1])
