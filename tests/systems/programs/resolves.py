"""Prints the address of each name given, then waits."""

import signal
import socket
import sys

for name in sys.argv[1:]:
    print(name, socket.gethostbyname(name), flush=True)
print("resolved", flush=True)
signal.pause()
