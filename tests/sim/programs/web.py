"""An aiohttp server and an aiohttp client, as anybody would write them."""

import asyncio
import time

import aiohttp
from aiohttp import web


async def server() -> None:
    """Adds one."""

    async def add(request: web.Request) -> web.Response:
        body = await request.json()
        await asyncio.sleep(0.01)
        return web.json_response({"n": body["n"] + 1, "at": time.time()})

    app = web.Application()
    app.router.add_post("/add", add)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 8080).start()
    await asyncio.Event().wait()


async def client() -> None:
    """Counts, twice a second."""
    n = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            try:
                async with session.post("http://server:8080/add", json={"n": n}) as response:
                    n = (await response.json())["n"]
                    print("n", n)
            except (aiohttp.ClientError, TimeoutError) as error:
                print("failed", type(error).__name__)
            await asyncio.sleep(0.5)
