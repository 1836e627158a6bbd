"""`coordchaos check`: recorded histories against their models, one file or a manifest of many."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from pytest_coordchaos.checkers.choosing import MODELS, infer_model, model_of
from pytest_coordchaos.checkers.linearizability import verdict_of
from pytest_coordchaos.checkers.linearizable import Budget, examine
from pytest_coordchaos.errors import UnreadableHistory, UsageError
from pytest_coordchaos.history.model import History
from pytest_coordchaos.history.readers import FORMATS, read_history
from pytest_coordchaos.verdicts import Status, Verdict

__all__ = ["PARSER", "add_arguments", "check_file", "parse_model", "run"]

HELD, VIOLATED, UNKNOWN, USAGE_ERROR, UNREADABLE = 0, 1, 2, 64, 65

PARSER: Mapping[str, object] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "description": "Check recorded histories for linearizability.",
    "epilog": """\
exit codes:
  0   linearizable (an empty history is); with --manifest: every file agrees with its verdict
  1   not linearizable; with --manifest: at least one file does not agree
  2   unknown: the budget was used up, or no model fits
  64  bad usage
  65  the file cannot be read as a history

A manifest is tab separated with a header; the columns file, format, model and verdict (linearizable or
not-linearizable) are found by name, the files lie beside it. Its models may be followed by words and by an
initial value in parentheses: "cas-register(int, nil initial)", "register(0)", "kv get/put/append per key".
In jepsen-edn and jepsen-json, as in Knossos, registers begin with 0 and a read of nil matches everything,
unless the model says "nil initial"; in edn-lines a key that nobody wrote holds the empty text.""",
}

_VERDICTS = {"linearizable": Status.HELD, "not-linearizable": Status.VIOLATED}
_COLUMNS = ("file", "format", "model", "verdict")
_MODEL = re.compile(r"\s*(?P<name>[A-Za-z-]+)(?P<words>[^()]*)(\((?P<inside>[^()]*)\))?\s*")
_LITERAL = r"nil|none|null|empty|-?\d+"
_INITIAL = re.compile(
    rf"(?P<before>{_LITERAL})\s+initial|initial\s*[:=]?\s*(?P<after>{_LITERAL})|^\s*(?P<alone>{_LITERAL})\s*$", re.I
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a history")
    parser.add_argument("--manifest", type=Path, metavar="MANIFEST", help="check every file this list names instead")
    parser.add_argument("--format", default="coordchaos-jsonl", choices=tuple(FORMATS), help="of FILE (default: %(default)s)")
    parser.add_argument("--model", metavar="MODEL", help=f"of FILE: {', '.join(MODELS)} (default: inferred from its operations)")
    parser.add_argument("--budget-s", type=_seconds, default=30.0, metavar="S", help="seconds per file (default: 30)")
    parser.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="processes for a manifest (default: 1)")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line for every file of a manifest")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number of seconds above 0")
    return seconds


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number from 1 to 256")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Check what the arguments name; the exit code."""
    try:
        if (arguments.file is None) == (arguments.manifest is None):
            raise UsageError("give either FILE or --manifest MANIFEST")
        if arguments.manifest is not None:
            return _check_manifest(arguments)
        verdict = check_file(arguments.file, arguments.format, arguments.model, arguments.budget_s)
    except UnreadableHistory as error:
        print(f"coordchaos check: {error}", file=sys.stderr)
        return UNREADABLE
    except UsageError as error:
        print(f"coordchaos check: {error}", file=sys.stderr)
        return USAGE_ERROR
    except Exception as error:  # a traceback's exit status would read as "not linearizable"
        print(f"coordchaos check: {_strange(error)}", file=sys.stderr)
        return UNREADABLE
    print("\n".join((verdict.summary, *(f"    {line}" for line in verdict.details))))
    return {Status.HELD: HELD, Status.VIOLATED: VIOLATED, Status.UNKNOWN: UNKNOWN}[verdict.status]


def _strange(error: Exception) -> str:
    return f"the file holds values that cannot be checked: {type(error).__name__}: {str(error)[:200]}"


def parse_model(text: str, format: str) -> dict[str, object]:
    """The checker's options for a model as manifests and people write it.

    Raises:
        UsageError: The model is not known, with the allowed ones.
    """
    match = _MODEL.fullmatch(text)
    name = match["name"].lower() if match else ""
    name = "key-value" if name in ("kv", "key-value-store") else name
    if match is None or name not in MODELS:
        raise UsageError(f"model {text!r} is not known; allowed: {', '.join(MODELS)}, each with an initial value in parentheses")
    options: dict[str, object] = {"model": name}
    initial = _INITIAL.search(match["inside"] or match["words"])
    if name == "mutex":
        return options
    as_in_knossos = format in ("jepsen-edn", "jepsen-json") and name != "key-value"
    if initial:
        options["initial"] = _value(initial["before"] or initial["after"] or initial["alone"])
    elif as_in_knossos:
        options["initial"] = 0
    elif name == "key-value" and ("append" in match["words"] or format == "edn-lines"):
        options["initial"] = ""
    if as_in_knossos and options["initial"] is not None:
        options["nil_reads_unknown"] = True
    return options


def _value(text: str) -> object:
    return "" if text.lower() == "empty" else None if text.lower() in ("nil", "none", "null") else int(text)


def check_file(path: Path, format: str, model: str | None, budget_s: float) -> Verdict:
    """The verdict on one file. A history without operations is linearizable: nothing contradicts anything."""
    history = read_history(path, format)
    name = model if model is not None else infer_model(history)
    chosen = None if name is None else model_of(history, parse_model(name, format))
    if chosen is None:
        return _without_model(history)
    return verdict_of(examine(history, chosen, Budget(seconds=budget_s, now_s=time.monotonic)), history, chosen)


def _without_model(history: History) -> Verdict:
    if not len(history):
        return Verdict(name="linearizable", status=Status.HELD, summary="linearizable: held (no operations)")
    asked = ", ".join(sorted({op.f for op in history}))
    summary = f"linearizable: unknown, no model fits the operations {asked}; give --model"
    return Verdict(name="linearizable", status=Status.UNKNOWN, summary=summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One line of a manifest."""

    line: int
    file: str
    path: Path
    format: str
    model: str
    verdict: str
    budget_s: float


def _check_manifest(arguments: argparse.Namespace) -> int:
    rows = _rows(arguments.manifest, arguments.budget_s)
    counts: Counter[str] = Counter()
    for row, (outcome, said) in zip(rows, _outcomes(rows, arguments.jobs), strict=True):
        counts[outcome] += 1
        if arguments.verbose or outcome != "agree":
            print(f"{outcome:<10}  {row.file}  {said}", flush=True)
    print(", ".join(f"{outcome} {counts[outcome]}" for outcome in ("agree", "disagree", "unknown", "unreadable")))
    return HELD if counts["agree"] == len(rows) else VIOLATED


def _rows(manifest: Path, budget_s: float) -> Sequence[_Row]:
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableHistory(f"manifest {manifest}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    lines = [(number, line.split("\t")) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise UsageError(
            f"manifest {manifest}: no column {', '.join(missing)}; wanted a tab-separated header with {', '.join(_COLUMNS)}"
        )
    if len(lines) == 1:
        raise UsageError(f"manifest {manifest}: no file is listed; wanted at least one line below the header")
    return [_row(manifest, number, dict(zip(header, cells, strict=False)), budget_s) for number, cells in lines[1:]]


def _row(manifest: Path, number: int, cells: Mapping[str, str], budget_s: float) -> _Row:
    file, format, model, verdict = (cells.get(column, "").strip() for column in _COLUMNS)
    return _Row(
        line=number, file=file, path=manifest.parent / file, format=format, model=model, verdict=verdict, budget_s=budget_s
    )


def _outcomes(rows: Sequence[_Row], jobs: int) -> Iterator[tuple[str, str]]:
    if jobs == 1:
        yield from map(_outcome, rows)
        return
    with ProcessPoolExecutor(max_workers=min(jobs, len(rows)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_outcome, rows, chunksize=8)


def _outcome(row: _Row) -> tuple[str, str]:
    """agree, disagree, unknown or unreadable; and a few words."""
    try:
        blank = [column for column in _COLUMNS if not getattr(row, column)]
        if blank:
            raise UsageError(f"nothing in column {', '.join(blank)}")
        if row.verdict not in _VERDICTS:
            raise UsageError(f"verdict {row.verdict!r} is not known; allowed: {', '.join(_VERDICTS)}")
        history = read_history(row.path, row.format)
        model = model_of(history, parse_model(row.model, row.format))
        if model is None:
            raise UsageError(f"no model fits {row.model!r}")
        finding = examine(history, model, Budget(seconds=row.budget_s, now_s=time.monotonic))
    except (UnreadableHistory, UsageError) as error:
        return "unreadable", f"(line {row.line}) {error}"
    except Exception as error:  # one strange file must not cost the verdicts on all others
        return "unreadable", f"(line {row.line}) {_strange(error)}"
    if finding.status is Status.UNKNOWN:
        return "unknown", f"listed as {row.verdict}; the budget of {row.budget_s:g} s was used up"
    found = "linearizable" if finding.status is Status.HELD else "not-linearizable"
    return ("agree" if finding.status is _VERDICTS[row.verdict] else "disagree"), f"listed as {row.verdict}, found {found}"
