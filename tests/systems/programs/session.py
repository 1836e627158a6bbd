"""A pytest session in small, to be killed: `session.py ROOT RUN_ID [fork]`. Prints the name of each phase as it begins.

With `fork` it forks children that outlive it and hold every descriptor it has, as tests sometimes do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from pytest_coordchaos.clock import SystemClock
from pytest_coordchaos.runtimes.base import NodeSpec
from pytest_coordchaos.runtimes.guard import Guard
from pytest_coordchaos.runtimes.process import ProcessRuntime
from pytest_coordchaos.system.readiness import NodeProbe, ready_log, ready_port
from pytest_coordchaos.system.waiting import wait_ready

PROGRAMS = Path(__file__).parent
PYTHON = (sys.executable, "-I", "-S")


def phase(name: str) -> None:
    print(name, flush=True)
    if "fork" in sys.argv and name in ("guarded", "launching", "ready") and os.fork() == 0:
        time.sleep(60)
        os._exit(0)


async def main(root: Path, run_id: str) -> None:
    phase("begun")
    guard = await Guard.start(root, run_id)
    phase("guarded")
    runtime = await ProcessRuntime.create(guard, run_id, root)
    (address,) = await runtime.reserve(1)
    fresh = root / "address.new"
    fresh.write_text(json.dumps([*address, *await runtime.claim_hosts(1)]))
    fresh.rename(root / "address.json")  # whole, or not there: this process is killed at any moment
    phase("launching")
    echo = [*PYTHON, str(PROGRAMS / "echo_server.py"), address[0], str(address[1]), "reuse"]
    specs = [
        NodeSpec(name="echo", argv=echo, directory=root / "echo", listens=[address]),
        NodeSpec(name="daemons", argv=[*PYTHON, str(PROGRAMS / "daemons.py"), "2"], directory=root / "daemons"),
        NodeSpec(name="stubborn", argv=[*PYTHON, str(PROGRAMS / "stubborn.py")], directory=root / "stubborn", listens=[]),
    ]
    await asyncio.gather(*(runtime.launch(spec) for spec in specs))
    phase("launched")
    probe = NodeProbe(name="echo", addresses={"tcp": address})
    daemons = NodeProbe(name="daemons", addresses={}, read_log=lambda: runtime.log("daemons"))
    await wait_ready(ready_port("tcp"), [probe], runtime, SystemClock(), 20)
    await wait_ready(ready_log("all daemons are up"), [daemons], runtime, SystemClock(), 20)
    phase("ready")
    await runtime.pause("stubborn")
    while True:
        await runtime.kill("echo")
        await runtime.launch(specs[0])
        await wait_ready(ready_port("tcp"), [probe], runtime, SystemClock(), 20)
        phase("again")


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
