"""The summary table of a pytest run. Pure: rows in, lines out. Plain ASCII, so that it can be searched for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_coordchaos import __version__
from pytest_coordchaos.cost.budgets import apart, exact, show
from pytest_coordchaos.report.properties import Row
from pytest_coordchaos.verdicts import Status

if TYPE_CHECKING:
    from pytest_coordchaos.settings import Settings

__all__ = ["HEADINGS", "budget_cell", "header", "seed_line", "table"]

HEADINGS = ("test", "operations (ok/fail/info)", "messages/op", "p99 ms", "faults", "invariants", "budget")
"""Columns: `faults` is verified/carried out; the other words are those of docs/reference/counting.md."""

_GAP = "  "
_TEST_WIDTH_MIN = 24


def table(rows: Sequence[Row], *, width: int) -> list[str]:
    """One line per run under a line of headings.

    Where the terminal is too narrow, long test names lose their beginning; where that does not do,
    invariants and budgets go to lines of their own below each run.
    """
    if not rows:
        return []
    cells = [_cells(row) for row in rows]
    wide = _lay_out([HEADINGS, *cells], width)
    if max(map(len, wide)) <= width:
        return wide
    narrow = _lay_out([HEADINGS[:5], *(cell[:5] for cell in cells)], width)
    lines = narrow[:1]
    for line, cell in zip(narrow[1:], cells, strict=True):
        lines += [line, *(f"    {heading}: {text}" for heading, text in zip(HEADINGS[5:], cell[5:], strict=True) if text != "-")]
    return lines


def seed_line(seed: int, origin: str) -> str:
    """How to draw the same plans again."""
    given = "drawn for this run" if origin == "drawn" else f"from {origin}"
    return f"seed {seed} ({given}); the same plans again: --coordchaos-seed={seed}"


def header(settings: Settings) -> str:
    """The line at the top of a pytest run: version, seed, which runtime and why, and which proxy."""
    given = "drawn" if settings.origins.get("seed") == "drawn" else f"from {settings.origins.get('seed')}"
    runtime = f"{settings.runtime} (from {settings.origins.get('runtime')})" if settings.runtime else "as each system declares"
    proxy = settings.proxy + (f" (from {settings.origins['proxy']})" if settings.proxy != "relay" else "")
    return f"coordchaos: {__version__}, seed {settings.seed} ({given}), runtime {runtime}, proxy {proxy}"


def budget_cell(name: str, status: str, measured: float | None, limit: float | None) -> str:
    """`messages_per_op held 8.02 <= 12`."""
    if measured is None or limit is None or status == Status.UNKNOWN:
        return f"{name} {status}"
    return f"{name} {status} {apart(measured, limit)} {'<=' if measured <= limit else '>'} {exact(limit)}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.test,
        f"{row.operations} ({row.ok}/{row.fail}/{row.info})",
        *("-" if value is None else show(value) for value in (row.messages_per_op, row.p99_ms)),
        f"{row.faults_verified}/{row.faults}" if row.faults else "-",
        ", ".join(f"{name} {status}" for name, status in row.invariants) or "-",
        ", ".join(budget_cell(*budget) for budget in row.budgets) or "-",
    )


def _lay_out(lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Columns padded to their widest cell; the first one gives way when the line would be too long."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    too_much = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    widths[0] = max(widths[0] - max(too_much, 0), min(widths[0], _TEST_WIDTH_MIN))
    shortened = [(_tail(first, widths[0]), *rest) for first, *rest in lines]
    return [_GAP.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in shortened]


def _tail(text: str, width: int) -> str:
    """The end of a text: of a node id that is the part that differs."""
    return text if len(text) <= width else "..." + text[len(text) - width + 3 :]
