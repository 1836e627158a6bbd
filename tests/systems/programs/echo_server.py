"""A TCP server: `echo_server.py HOST PORT [reuse]`. Answers what it gets; without `reuse` it sets no socket option."""

import socket
import sys
import threading


def serve(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


listener = socket.socket()
if "reuse" in sys.argv:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen()
print("listening on", sys.argv[2], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
