"""`coordchaos mutants`: systems with one named bug each, and whether invariants and budgets notice."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_coordchaos.errors import CoordChaosError, UsageError
from pytest_coordchaos.mutants.finding import find
from pytest_coordchaos.mutants.model import Mutant, MutantSuite
from pytest_coordchaos.mutants.scoring import Score, check, score, summary

__all__ = ["PARSER", "add_arguments", "run"]

CAUGHT, MISSED, USAGE_ERROR = 0, 1, 64

PARSER: Mapping[str, object] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "description": "Try mutants, systems with one named bug each, in the simulator: which are caught, and how soon?",
    "epilog": """\
WORD is a reference system, a suite of your own as module:attribute, or the name of a mutant. Without a system: all
reference systems. Each mutant is run with the seeds 0, 1, 2 … under the faults that it names, until one of the verdicts
that it names is violated; then the healthy system is run in its place, and must not be accused of anything.

exit codes:
  0   every mutant was caught, and there was no false alarm
  1   a mutant was missed, or the healthy system was accused
  64  bad usage: nothing was run

FILE gets one line a mutant: system, mutant, caught, by, seeds, and what was said.""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="systems, and mutants of theirs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="one JSON line a mutant; the file must be new")
    parser.add_argument("--jobs", type=_number, default=1, metavar="N", help="worker processes (default: 1)")
    parser.add_argument("--seeds", type=_number, metavar="N", help="at most so many for each (default: what each says)")
    parser.add_argument("--control", type=_count, default=3, metavar="N", help="seeds of the healthy system (default: 3)")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number from 0 to 1000000")
    return int(text)


def _number(text: str) -> int:
    if _count(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number from 1 to 1000000")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    try:
        cases = find(arguments.words)
        check(cases)
        if arguments.list:
            _list(cases)
            return CAUGHT
        scores = _scored(cases, arguments)
    except CoordChaosError as error:
        print(f"coordchaos mutants: {error}", file=sys.stderr)
        return USAGE_ERROR
    print()
    for suite in dict.fromkeys(suite.name for suite, _ in cases):
        print(summary([one for one in scores if one.system == suite]))
    _say_not_here(cases)
    return CAUGHT if all(one.good for one in scores) else MISSED


def _scored(cases: Sequence[tuple[MutantSuite, Mutant]], arguments: argparse.Namespace) -> tuple[Score, ...]:
    if arguments.json is not None:
        try:
            arguments.json.touch(exist_ok=False)
        except OSError as error:
            raise UsageError(f"--json {arguments.json}: {error.strerror}; give the name of a new file") from None
    widths = [max(len(text) for text in column) for column in zip(*map(_names, cases), strict=True)]
    print(_row(("system", "mutant", "caught by"), widths, "seeds", "what is broken"))

    def told(one: Score) -> None:
        print(_row((one.system, one.mutant, one.by or "MISSED"), widths, str(one.seeds), one.doc), flush=True)
        if not one.caught and one.said:
            print(f"    last: {one.said}", flush=True)
        if one.alarm:
            print(f"    FALSE ALARM: the healthy system, {one.alarm}", flush=True)
        if arguments.json is not None:
            with arguments.json.open("a") as file:
                file.write(json.dumps(one.as_plain()) + "\n")

    return score(cases, jobs=arguments.jobs, seeds=arguments.seeds, control=arguments.control, told=told)


def _names(case: tuple[MutantSuite, Mutant]) -> tuple[str, str, str]:
    suite, mutant = case
    return suite.name, mutant.name, max((*mutant.caught_by, "caught by"), key=len)


def _row(names: Sequence[str], widths: Sequence[int], seeds: str, doc: str) -> str:
    columns = "  ".join(name.ljust(max(width, 6)) for name, width in zip(names, widths, strict=True))
    return f"{columns}  {seeds:>5}  {doc}"


def _list(cases: Sequence[tuple[MutantSuite, Mutant]]) -> None:
    for suite, mutant in cases:
        how = "a script" if mutant.script else ", ".join(mutant.faults) or "no faults"
        print(f"{suite.name} {mutant.name}: {mutant.doc} ({how}; caught by {', '.join(mutant.caught_by)})")
    _say_not_here(cases)


def _say_not_here(cases: Sequence[tuple[MutantSuite, Mutant]]) -> None:
    for suite in {suite.name: suite for suite, _ in cases}.values():
        for name, why in suite.not_here.items():
            print(f"{suite.name} not here: {name} {why}")
