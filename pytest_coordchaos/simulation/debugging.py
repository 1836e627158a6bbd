"""`breakpoint()` in a simulated node: pdb on the terminal. Its process has pipes for input and output, so pdb opens the
terminal itself, past pytest's capture. Virtual time stands still while it waits.
"""

from __future__ import annotations

import os
import pdb
import sys
from typing import Any

from pytest_coordchaos.errors import CapabilityError
from pytest_coordchaos.runtimes.sim import active
from pytest_coordchaos.runtimes.sim.clock import START_NS

__all__ = ["install"]

_TERMINAL = "/dev/tty"
_really_open = open
"""As it was before nodes had files of their own."""


def install() -> None:
    """Let `breakpoint()` and `pdb.set_trace()` of this process ask at the terminal."""
    sys.breakpointhook = _stop
    pdb.set_trace = _stop


def _stop(*arguments: Any, header: str | None = None, **more: Any) -> Any:
    """Stop in the caller.

    Raises:
        CapabilityError: There is no terminal.
    """
    if os.environ.get("PYTHONBREAKPOINT"):  # 0, or a debugger of the user's choice
        return sys.__breakpointhook__(*arguments, **more)
    try:
        stdin, stdout = _really_open(_TERMINAL), _really_open(_TERMINAL, "w")
    except OSError as error:
        raise CapabilityError(
            f"breakpoint(): the simulation's process has no terminal ({error}); run the test from one"
        ) from None
    print(f"\n--- {header or _where()} ---", file=stdout)
    debugger = pdb.Pdb(stdin=stdin, stdout=stdout, nosigint=True)  # a simulated node may set no signal handler
    debugger.set_trace(sys._getframe(1))
    return None


def _where() -> str:
    loop = active.loop
    if loop is None:
        return "pdb in the simulation's process"
    who = "the experiment" if loop.node is None else f"{loop.node.name}#{loop.node.incarnation}"
    return f"pdb in {who} at {(loop.now_ns - START_NS) / 1e9:.6f} s of virtual time, which stands still"
