"""A node that talks newline JSON: asks its peers when a client tells it to. Takes its addresses from its command line.

mesh_node.py NAME PEER_HOST:PORT CLIENT_HOST:PORT n2=HOST:PORT,n3=HOST:PORT
"""

from __future__ import annotations

import asyncio
import json
import sys

received: list[str] = []


async def answer_peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`ping` is answered, `tell` is only remembered."""
    while line := await reader.readline():
        message = json.loads(line)
        received.append(message["text"])
        if message["type"] == "ping":
            writer.write(json.dumps({"type": "pong", "text": message["text"]}).encode() + b"\n")
    writer.close()


async def send_peer(address: str, message: dict[str, str], timeout_s: float) -> str:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(json.dumps(message).encode() + b"\n")
            await writer.drain()
            if message["type"] == "tell":
                return "sent"
            line = await reader.readline()
            return str(json.loads(line)["text"]) if line else "closed"
        finally:
            writer.close()


async def main() -> None:
    name, peer_bind, client_bind, peers_text = sys.argv[1:5]
    peers = dict(pair.split("=") for pair in peers_text.split(",") if pair)

    async def answer_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            request = json.loads(line)
            try:
                if request["type"] == "received":
                    answer: object = received
                else:
                    address = request.get("address") or peers[request["to"]]
                    message = {"type": request["type"], "text": request["text"]}
                    answer = await send_peer(address, message, request["timeout_s"])
            except (OSError, TimeoutError) as error:
                answer = f"error {type(error).__name__}"
            writer.write(json.dumps({"type": "answer", "answer": answer}).encode() + b"\n")
        writer.close()

    servers = []
    for bind, handler in ((peer_bind, answer_peer), (client_bind, answer_client)):
        host, _, port = bind.rpartition(":")
        servers.append(await asyncio.start_server(handler, host, int(port)))
    print(f"{name} listens", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
