"""`coordchaos trace diff`: where two runs of the simulator parted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_coordchaos.errors import CoordChaosError
from pytest_coordchaos.simulation.trace_files import compare

__all__ = ["PARSER", "add_arguments", "run"]

SAME, DIFFERENT, USAGE_ERROR = 0, 1, 64

PARSER: Mapping[str, object] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "description": "Compare two traces of the simulator and print their first difference.",
    "epilog": """\
Traces are written by `coordchaos campaign TEST --seeds N --trace FILE`: one line a step, as
`seconds node event`. Lines of A are marked -, lines of B +.

exit codes:
  0   the same run
  1   they differ
  64  bad usage; a file is no trace""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["diff"], help="what to do with them")
    parser.add_argument("one", type=Path, metavar="A", help="a trace")
    parser.add_argument("other", type=Path, metavar="B", help="another")
    parser.add_argument("--context", type=int, default=5, metavar="N", help="lines to show around the difference (default: 5)")


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    try:
        text, same = compare(arguments.one, arguments.other, context=max(0, arguments.context))
    except CoordChaosError as error:
        print(f"coordchaos trace: {error}", file=sys.stderr)
        return USAGE_ERROR
    print(text)
    return SAME if same else DIFFERENT
