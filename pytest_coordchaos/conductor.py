"""What happens around one test: its request is read, its window opened and closed, its verdict attached.

Made by the plugin when clusters are switched on, and only then, so that it may import what it needs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from pytest_coordchaos import outcomes
from pytest_coordchaos.checkers.registry import INVARIANTS
from pytest_coordchaos.errors import CoordChaosError, UsageError
from pytest_coordchaos.markers import NAMES, request_from
from pytest_coordchaos.report import failure
from pytest_coordchaos.report.properties import PREFIX, properties_of
from pytest_coordchaos.run import Run, TestRequest
from pytest_coordchaos.session import Session
from pytest_coordchaos.settings import Settings
from pytest_coordchaos.verdicts import Status

__all__ = ["Conductor"]

T = TypeVar("T")


class Conductor:
    """One per pytest process. Starts nothing before a test starts a cluster.

    Args:
        config: pytest's configuration.
        settings: The options in force.
        worker: Name of the xdist worker, or "main".

    Attributes:
        pinned: The seed of every test, and the command that reproduces it; None: each has its own.

    Raises:
        pytest.fail.Exception: Two plugins give one name.
    """

    def __init__(self, config: pytest.Config, settings: Settings, worker: str) -> None:
        self._settings = settings
        self._invariants = _merged(config.hook.pytest_coordchaos_invariants(config=config), "invariant", INVARIANTS)
        self._reporters = _merged(config.hook.pytest_coordchaos_reporters(config=config), "reporter", {})
        self._root = _temporary_directory(config)
        self.session = Session(settings=settings, root=self._root, worker=worker, invariants=self._invariants)
        self._open: tuple[pytest.Item, TestRequest] | None = None
        self.pinned: tuple[int, str] | None = None

    def begin(self, item: pytest.Item) -> None:
        """Read the test's markers and open its window; a wrong marker is the test's error.

        Raises:
            pytest.fail.Exception: A marker is wrong.
        """
        wrong = ""
        try:
            request = request_from(
                item.iter_markers(),
                test=item.nodeid,
                path=str(item.path),
                settings=self._settings,
                extra_invariants=self._invariants,
            )
        except UsageError as error:
            wrong = str(error)
        if wrong:  # outside of the handler: pytest would print the first exception too
            pytest.fail(wrong, pytrace=False)
        if self.pinned is not None:
            request = replace(request, seed=self.pinned[0], reproduce=self.pinned[1])
        self.session.begin_test(request)
        self._open = (item, request)

    def abandon(self, item: pytest.Item) -> None:
        """Close the window of a test that never got to its call (skipped, or its fixtures failed)."""
        if self._open is not None and self._open[0] is item:
            self._open = None
            with contextlib.suppress(CoordChaosError):  # the test has failed already, and says why
                self.session.end_test(failed=True)

    def conclude(self, item: pytest.Item, error: BaseException | None) -> outcomes.VerdictFailure | None:
        """Close the window after the test's call, attach what was observed, and judge.

        Args:
            item: The test.
            error: What its call raised; None when it passed.

        Returns:
            The failure that its verdict is; None when there is none, or the test was skipped.
        """
        if self._open is None or self._open[0] is not item:
            return None
        request, self._open = self._open[1], None
        skipped = isinstance(error, pytest.skip.Exception)
        try:
            runs = self.session.end_test(failed=error is not None and not skipped)
        except CoordChaosError as trouble:
            text = f"unknown: the run could not be evaluated: {trouble}\nReproduce: {request.reproduce}"
            return None if skipped else outcomes.failure_of(Status.UNKNOWN, text)
        found = self._judge(item, request, runs)
        if error is not None and isinstance(found, outcomes.Unknown) and not any(len(run.history) for run in runs):
            found = None  # that nothing was recorded is no news: the test never got there
            runs = tuple(run for run in runs if run.nodes)
        self._attach(item, runs, failed=error is not None or found is not None, said=found is not None)
        if error is not None and not skipped and found is None:
            text = f"Seed: {self._settings.seed}\nReproduce: {request.reproduce}"
            item.add_report_section("call", "coordchaos seed", text)
        return None if skipped else found

    def close(self) -> None:
        """Stop everything; the temporary directory goes too, unless something worth reading lies in it. Idempotent."""
        self.session.close()
        with contextlib.suppress(OSError):  # not empty: kept for a reader
            os.rmdir(self._root)

    def _judge(self, item: pytest.Item, request: TestRequest, runs: tuple[Run, ...]) -> outcomes.VerdictFailure | None:
        marked = any(mark.name in NAMES for mark in item.iter_markers())
        if not runs and marked and not request.allow_unknown:
            lines = (failure.NOTHING_RECORDED, f"Reproduce: {request.reproduce}", f"Allow: {failure.ALLOW}")
            return outcomes.failure_of(Status.UNKNOWN, "\n".join(lines))
        status = failure.verdict_of(runs, allow_unknown=request.allow_unknown)
        if status is Status.HELD:
            return None
        text = failure.failure_text(runs, seed=self._settings.seed, allow_unknown=request.allow_unknown)
        return outcomes.failure_of(status, text)

    def _attach(self, item: pytest.Item, runs: tuple[Run, ...], *, failed: bool, said: bool) -> None:
        """Properties and report sections travel with the test's report, to JUnit files and from xdist's workers too."""
        kept = [(key, value) for key, value in item.user_properties if not key.startswith(PREFIX)]  # a test may be run again
        item.user_properties[:] = kept
        if not runs:
            return
        item.user_properties += properties_of(runs, seed=self._settings.seed)
        for run in runs:
            if not said:  # a verdict that fails the test says all this itself
                item.add_report_section("call", "coordchaos", failure.run_text(run))
            for node, lines in run.logs.items() if failed else ():
                item.add_report_section("call", f"coordchaos log of {node}", "\n".join(lines))
            for trouble in self._report(run):
                item.user_properties.append((f"{PREFIX}report_error", trouble))

    def _report(self, run: Run) -> list[str]:
        """Hand a finished run to every reporter; returns what they could not do."""
        troubles = []
        for name, report in self._reporters.items():
            try:
                report(run)
            except Exception as error:  # a report that fails must not change what the test says
                troubles.append(f"reporter {name!r} failed on {run.test}: {type(error).__name__}: {error}")
        return troubles


def _temporary_directory(config: pytest.Config) -> Path:
    """A directory beside pytest's own temporary ones, so that `--basetemp` and pytest's clean-up hold for ours too."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)  # its fixture is out of reach here
    return factory.mktemp("coordchaos") if factory else Path(tempfile.mkdtemp(prefix="coordchaos-"))


def _merged(given: Sequence[Mapping[str, T] | None], what: str, taken: Mapping[str, T]) -> dict[str, T]:
    """What several plugins give, as one mapping."""
    merged: dict[str, T] = {}
    for one in given:
        for name, value in (one or {}).items():
            if name in merged or name in taken:
                pytest.fail(f"two plugins give the {what} {name!r}; each name may be given once", pytrace=False)
            merged[name] = value
    return merged
