"""A node that gossips over UDP: what a client tells it, it tells every peer once; each acknowledges it.

gossip_node.py NAME GOSSIP_HOST:PORT CLIENT_HOST:PORT n2=HOST:PORT,n3=HOST:PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast


class Gossip(asyncio.DatagramProtocol):
    """Remembers rumours and acknowledgements."""

    def __init__(self, name: str, peers: list[tuple[str, int]]) -> None:
        self.name = name
        self.peers = peers
        self.heard: list[str] = []
        self.acknowledged: list[str] = []
        self.raw: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.raw.append(data.decode("latin-1"))
        try:
            message = json.loads(data)
            kind, text = message["type"], message["text"]
        except (ValueError, KeyError, TypeError):
            return  # garbage
        if kind == "ack":
            self.acknowledged.append(text)
        else:
            self.heard.append(text)
            self.transport.sendto(json.dumps({"type": "ack", "text": text}).encode(), addr)

    def spread(self, text: str) -> None:
        """Tell every peer."""
        for peer in self.peers:
            self.transport.sendto(json.dumps({"type": "rumour", "text": text}).encode(), peer)


async def main() -> None:
    name, gossip_bind, client_bind, peers_text = sys.argv[1:5]
    loop = asyncio.get_running_loop()
    peers = [_address(pair.split("=")[1]) for pair in peers_text.split(",") if pair]
    _, gossip = await loop.create_datagram_endpoint(lambda: Gossip(name, peers), local_addr=_address(gossip_bind))

    async def answer_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            if request["type"] == "spread":
                gossip.spread(request["text"])
            answer = {"heard": gossip.heard, "acknowledged": gossip.acknowledged, "raw": gossip.raw}
            writer.write(json.dumps({"type": "answer", "answer": answer}).encode() + b"\n")
        writer.close()

    server = await asyncio.start_server(answer_client, *_address(client_bind))
    await server.serve_forever()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


asyncio.run(main())
