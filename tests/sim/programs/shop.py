"""A service and its caller in plain asyncio, with module globals that nodes must not share. Knows nothing of simulators."""

import asyncio
import os
import random
import time
import uuid
from datetime import datetime

served = []
_started = time.time


async def server() -> None:
    """Numbers the lines it is sent, over all its connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readline())
        _note()
        writer.write(f"{len(served)} {datetime.now():%H:%M:%S}\n".encode())
        writer.close()

    print("served before:", _noted())
    listener = await asyncio.start_server(serve, "0.0.0.0", 8000)
    await listener.serve_forever()


def _note() -> None:
    with open("served", "a") as file:
        file.write(".")


def _noted() -> int:
    return os.path.getsize("served") if os.path.exists("served") else 0


async def caller() -> None:
    """Calls every second and says what it got."""
    import shop

    while True:
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("server", 8000)
                writer.write(b"hello\n")
                answer = await reader.readline()
                writer.close()
        except (OSError, TimeoutError) as error:
            print("failed", type(error).__name__)
        else:
            print("got", answer.decode().strip(), len(served), len(shop.served), uuid.uuid4(), random.random(), _started())
        await asyncio.sleep(1)
