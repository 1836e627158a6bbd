"""The section "coordchaos" at the end of a pytest run: from reports to the terminal."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_coordchaos.report.properties import PREFIX, Row, rows_of
from pytest_coordchaos.report.terminal import seed_line, table

if TYPE_CHECKING:
    import pytest

    from pytest_coordchaos.settings import Settings

__all__ = ["write_summary"]

_DIRECTORY = re.compile(rf"{re.escape(PREFIX)}(\d+\.)?directory")


def write_summary(terminal: pytest.TerminalReporter, settings: Settings, *, quiet: bool) -> None:
    """Write the section; nothing when no test used a cluster. Never raises: it would cost the user pytest's own summary.

    Args:
        terminal: Where to.
        settings: The options in force.
        quiet: Say only what went wrong with the reports.
    """
    try:
        reports = _call_reports(terminal)
        rows = [row for report in reports for row in rows_of(report.nodeid, report.user_properties)]
        if not rows:
            return
        lines = list(_troubles(reports) if quiet else _lines(rows, reports, settings, shutil.get_terminal_size().columns))
        if lines:
            terminal.ensure_newline()  # or the first line of the section is preceded by an empty one
            terminal.section("coordchaos")
        for line in lines:
            terminal.write_line(line)
    except Exception as error:
        terminal.write_line(f"coordchaos: the summary cannot be shown: {type(error).__name__}: {error}")


def _lines(rows: list[Row], reports: list[pytest.TestReport], settings: Settings, width: int) -> Iterable[str]:
    yield from table(rows, width=width)
    yield seed_line(settings.seed, settings.origins.get("seed", "drawn"))
    yield from _troubles(reports)
    if settings.keep:
        kept = {str(value): None for report in reports for key, value in report.user_properties if _DIRECTORY.fullmatch(key)}
        yield from (f"kept: {directory}" for directory in kept)
    if settings.report is not None and (settings.report / settings.run_id).exists():
        yield f"reports: {settings.report / settings.run_id}"


def _troubles(reports: list[pytest.TestReport]) -> Iterable[str]:
    """What reporters could not do."""
    for report in reports:
        yield from (str(value) for key, value in report.user_properties if key == f"{PREFIX}report_error")


def _call_reports(terminal: pytest.TerminalReporter) -> list[pytest.TestReport]:
    """The reports of all calls in the order in which they began, whatever pytest filed them under."""
    found = [report for reports in terminal.stats.values() for report in reports if getattr(report, "when", None) == "call"]
    return sorted(found, key=lambda report: report.start)
