"""pytest as the worker of a campaign: `python -m pytest_coordchaos.simulation.whole LEASH TEST`.

It collects one test and then performs it, fixtures and all, once for each request that comes through its pipes. Requests
and answers are those of `worker`.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
import textwrap
import time
from collections.abc import Callable, Generator
from hashlib import blake2b
from importlib.util import find_spec
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from pytest_coordchaos.errors import CoordChaosError, UsageError
from pytest_coordchaos.outcomes import Unknown, VerdictFailure
from pytest_coordchaos.plugin import renew
from pytest_coordchaos.run import Run
from pytest_coordchaos.simulation import campaigns
from pytest_coordchaos.simulation.campaigns import Keeper, Look
from pytest_coordchaos.simulation.client import Worker
from pytest_coordchaos.simulation.fingerprint import sources
from pytest_coordchaos.simulation.scenario import SeedResult, words_of
from pytest_coordchaos.simulation.worker import Pipes, serve
from pytest_coordchaos.verdicts import Status

__all__ = ["Performer", "main"]


class Performer:
    """A pytest plugin that takes the place of pytest's loop over tests.

    Args:
        test: The test, as the user named it.
        pipes: Where requests come from.
    """

    def __init__(self, test: str, pipes: Pipes) -> None:
        self._test = test
        self._pipes = pipes
        self._spare: list[Worker] = []
        self._runs: list[Run] = []
        self._error: tuple[str, BaseException] | None = None
        self._item: pytest.Item
        self._trouble = ""

    # -- hooks -------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve requests instead of running what was collected."""
        if len(session.items) == 1:
            self._item = session.items[0]
        else:
            names = "".join(f"\n  {item.nodeid}" for item in session.items)
            self._trouble = f"{self._test} names {len(session.items)} tests, and a campaign is of one:{names or ' none'}"
        try:
            serve(self, self._pipes)
        finally:
            for worker in self._spare:
                worker.close()
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """The first error of a performance is what its verdict is made of."""
        if call.excinfo is not None and self._error is None:
            self._error = call.when, call.excinfo.value
        return (yield)

    def pytest_coordchaos_reporters(self, config: pytest.Config) -> dict[str, Callable[[Run], None]]:
        """Every Run of a performance."""
        return {"campaign": self._runs.append}

    # -- requests ----------------------------------------------------------------------------------

    def look(self) -> Look:
        """Perform the test once and see what it does."""
        keeper = Keeper(self._spare, only_look=True)
        self._perform(keeper, 0)
        if not keeper.ended:
            raise UsageError(f"{self._test} makes no simulated run: {self._said() or 'it starts no cluster that sim can run'}")
        nodes = keeper.ended[0].nodes
        plain = len(keeper.scenarios) == len(keeper.ended) == 1 and not keeper.verbs
        plain = plain and (keeper.explored or _is_plain(self._item))
        return Look(nodes=nodes, program={**keeper.program, **sources()}, parts=keeper.scenarios[0] if plain else None)

    def seed(self, seed: int) -> tuple[SeedResult, Run | None]:
        """Perform the test with one seed."""
        result, run, _ = self._result(Keeper(self._spare), seed)
        return result, run

    def trace(self, seed: int, waste: int = 0) -> tuple[SeedResult, Run | None, tuple[str, ...]]:
        """Perform it and keep the traces of its clusters."""
        return self._result(Keeper(self._spare, keep_trace=True), seed)

    # -- inside ------------------------------------------------------------------------------------

    def _result(self, keeper: Keeper, seed: int) -> tuple[SeedResult, Run | None, tuple[str, ...]]:
        begun_s = time.perf_counter()
        self._perform(keeper, seed)
        result = SeedResult(
            seed=seed,
            verdict=str(self._verdict()),
            trace_hash=blake2b("".join(end.digest for end in keeper.ended).encode(), digest_size=16).hexdigest(),
            operations=sum(run.figures.operations for run in self._runs),
            virtual_s=round(sum(end.virtual_s for end in keeper.ended), 6),
            wall_s=round(time.perf_counter() - begun_s, 4),
            faults=words_of(fault for run in self._runs for fault in run.faults),
            partitions=tuple(groups for end in keeper.ended for groups in end.partitions),
            summary=self._said(),
        )
        lines = [line for end in keeper.ended for line in (f"--- cluster {', '.join(end.nodes)} ---", *end.lines)]
        return result, next((run for run in self._runs if run.status is not Status.HELD), None), tuple(lines)

    def _perform(self, keeper: Keeper, seed: int) -> None:
        if self._trouble:
            raise UsageError(self._trouble)
        self._runs.clear()
        self._error = None
        renew(self._item.config, seed, f"coordchaos campaign {self._test} --seeds {seed}")
        campaigns.begin(keeper)
        try:
            self._item._initrequest()  # type: ignore[attr-defined]  # what pytest's own plugins for repeated tests call
            runtestprotocol(self._item, log=False, nextitem=None)
        finally:
            campaigns.end()
        if self._error is not None and isinstance(self._error[1], pytest.skip.Exception):
            raise UsageError(f"{self._test} is skipped: {self._error[1]}")

    def _verdict(self) -> Status:
        if self._error is None:
            return Status.HELD
        when, error = self._error
        unknown = when != "call" or isinstance(error, Unknown)
        if isinstance(error, CoordChaosError) and not isinstance(error, VerdictFailure):
            unknown = True
        return Status.UNKNOWN if unknown else Status.VIOLATED

    def _said(self) -> str:
        if self._error is None:
            return ""
        wrong = [verdict.summary for run in self._runs for verdict in run.verdicts if verdict.status is not Status.HELD]
        if isinstance(self._error[1], VerdictFailure) and wrong:
            return wrong[0]
        return f"{type(self._error[1]).__name__}: {self._error[1]}".partition("\n")[0]


def _is_plain(item: pytest.Item) -> bool:
    """The test's body is one call of `run`: then its scenario alone can be performed, and much faster."""
    with contextlib.suppress(OSError, TypeError, SyntaxError):
        function = ast.parse(textwrap.dedent(inspect.getsource(item.obj))).body[0]  # type: ignore[attr-defined]  # a Function has it
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        body = function.body[ast.get_docstring(function) is not None :]
        call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr | ast.Assign | ast.Return) else None
        call = call.value if isinstance(call, ast.Await) else call
        return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("run", "run_async")
    return False


def main() -> int:
    """Collect the test, and serve requests until the parent is gone."""
    pipes = Pipes.open(int(sys.argv[1]))
    if pipes is None:
        return 0
    test = sys.argv[2]
    words = ["--coordchaos", "--coordchaos-runtime=sim", "-p", "no:cacheprovider", *(["-n0"] if find_spec("xdist") else [])]
    return int(pytest.main([*words, test], plugins=[Performer(test, pipes)]))


if __name__ == "__main__":
    sys.exit(main())
