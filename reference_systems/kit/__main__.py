"""Run one node: `python -S -m reference_systems.kit MODULE:FUNCTION /path/node.json`.

The process ends with status 0 when main returns, and with status 1 when main or anything it spawned
raised. This is the only place that starts an event loop.
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> None:
    """The command. Ends the process without waiting for worker threads: a node may die at any time."""
    if len(arguments) != 2:
        raise SystemExit("usage: python -S -m reference_systems.kit MODULE:FUNCTION /path/node.json")
    # Nodes speak no TLS, and importing ssl costs a quarter of the start. asyncio does without it.
    sys.modules["ssl"] = None  # type: ignore[assignment]  # None means: do not import
    import asyncio
    import os
    import traceback
    from pathlib import Path

    from reference_systems.kit.host import directory_of, run
    from reference_systems.kit.machine import Machine, MachineLoop

    status = 1
    try:
        node_file = Path(arguments[1])
        machine = Machine(directory_of(node_file))
        with asyncio.Runner(loop_factory=lambda: MachineLoop(machine)) as runner:
            runner.run(run(arguments[0], node_file, machine))
        status = 0
    except KeyboardInterrupt:
        status = 130
    except Exception:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
        finally:
            os._exit(status)  # also when the log's disk is full and nothing more can be said


if __name__ == "__main__":
    main(sys.argv[1:])
