"""A node: a line from a client goes to every peer; when all have answered, the client gets it back."""

import json
import socket
import socketserver
import sys
import threading

PEERS = [tuple(peer.rsplit(":", 1)) for peer in sys.argv[3].split(",") if peer]


class Peer(socketserver.StreamRequestHandler):
    def handle(self):
        for _ in self.rfile:
            self.wfile.write(b'{"type": "copied"}\n')


class Client(socketserver.StreamRequestHandler):
    def handle(self):
        peers = [socket.create_connection(peer).makefile("rwb") for peer in PEERS]
        for line in self.rfile:
            for peer in peers:
                peer.write(line)
                peer.flush()
                peer.readline()
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def server(address, handler):
    host, port = address.rsplit(":", 1)
    return Server((host, int(port)), handler)


peer, client = server(sys.argv[1], Peer), server(sys.argv[2], Client)
threading.Thread(target=client.serve_forever, daemon=True).start()
print(json.dumps({"started": sys.argv[1:3]}), flush=True)
peer.serve_forever()
