"""A run as a versioned JSON document, and the files of `--coordchaos-report`.

`document` is pure. `write` makes DIR/<run id>/<test>-<k>.json and, beside it, the run's history and
its context as `<test>-<k>.history.jsonl` (readable by `coordchaos check`). Files appear whole, and none is overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import count
from pathlib import Path

from pytest_coordchaos.cost.ledger import Ledger
from pytest_coordchaos.history.jsonl import HEADER, encode_line
from pytest_coordchaos.history.model import History, Operation
from pytest_coordchaos.run import Run

__all__ = ["FORMAT", "VERSION", "document", "file_stem", "history_lines", "write"]

FORMAT = "coordchaos-run"
VERSION = 1
"""Grows when a key changes its meaning or goes away; new keys may come at any time."""

_STEM_LENGTH_MAX = 100


def document(run: Run, *, run_id: str, seed: int) -> dict[str, object]:
    """The run as plain values. Times are seconds from the start of the run.

    Args:
        run: The run.
        run_id: Names the pytest run.
        seed: The pytest run's seed; `test_seed` is the one drawn from it.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "run_id": run_id,
        "test": run.test,
        "system": run.system,
        "runtime": run.runtime,
        "runtime_reason": run.runtime_reason,
        "proxy": run.proxy,
        "nodes": run.nodes,
        "workload": run.workload,
        "seed": seed,
        "test_seed": run.seed,
        "seconds": (run.end_ns - run.start_ns) / 1e9,
        "verdict": str(run.status),
        "verdicts": [
            {**asdict(verdict), "status": str(verdict.status), "details": list(verdict.details)} for verdict in run.verdicts
        ],
        "figures": {**asdict(run.figures), "cpu_s": dict(run.figures.cpu_s)},
        "faults": [_fault(fault, run.start_ns) for fault in run.faults],
        "ledger": _ledger(run.ledger),
        "notes": list(run.notes),
        "logs": {node: list(lines) for node, lines in run.logs.items()},
        "reproduce": run.reproduce,
        "directory": run.directory,
    }


def _fault(fault: object, start_ns: int) -> dict[str, object]:
    values = asdict(fault)  # type: ignore[call-overload]  # a RunFault
    start, end = values.pop("start_ns"), values.pop("end_ns")
    return {**values, "start_s": (start - start_ns) / 1e9, "end_s": None if end is None else (end - start_ns) / 1e9}


def _ledger(ledger: Ledger) -> dict[str, object]:
    """What crossed the links, summed by link, direction and class; the messages themselves would fill disks."""
    sums: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for message in ledger:
        entry = sums[str(message.link), message.sender, message.receiver, message.message_class]
        entry[0] += 1
        entry[1] += message.delivered_ns is not None
        entry[2] += message.size_bytes
    names = ("link", "sender", "receiver", "class", "offered", "delivered", "bytes")
    return {
        "complete": ledger.complete,
        "note": ledger.note,
        "bypasses": list(ledger.bypasses),
        "messages": [dict(zip(names, (*key, *sums[key]), strict=True)) for key in sorted(sums)],
        "totals": [{**asdict(total), "link": str(total.link)} for total in ledger.totals],
    }


def history_lines(history: History) -> Iterable[bytes]:
    """The history in our own format, events in order of time."""
    yield encode_line(HEADER)
    events = [(op.invoke_ns, 0, op.id, _invoked(op)) for op in history] + [(op.ended_ns, 1, op.id, _ended(op)) for op in history]
    for *_, event in sorted(events, key=lambda entry: entry[:3]):
        yield encode_line(event)


def _invoked(op: Operation) -> Mapping[str, object]:
    event = {"type": "invoke", "id": op.id, "process": op.process, "f": op.f, "time": op.invoke_ns, "intended": op.intended_ns}
    return event | _given(key=op.key, value=op.value, node=op.node)


def _ended(op: Operation) -> Mapping[str, object]:
    return {"type": str(op.outcome), "id": op.id, "time": op.ended_ns} | _given(result=op.result, error=op.error)


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def file_stem(test: str) -> str:
    """A file name for a test: letters, digits, dots and dashes; long ones are cut and end in a hash."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", test).strip("_.") or "run"
    if len(plain) <= _STEM_LENGTH_MAX:
        return plain
    return f"{plain[: _STEM_LENGTH_MAX - 9]}-{hashlib.blake2b(test.encode(), digest_size=4).hexdigest()}"


def write(run: Run, *, directory: Path, run_id: str, seed: int) -> Path:
    """Write a run's report and history under the first number still free; returns the report's path.

    Raises:
        OSError: The directory cannot be written to.
    """
    folder = directory / run_id
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document(run, run_id=run_id, seed=seed), indent=1, default=repr).encode() + b"\n"
    for number in count(1):
        stem = f"{file_stem(run.test)}-{number}"
        if _place(folder / f"{stem}.json", text):
            _place(folder / f"{stem}.history.jsonl", b"".join(history_lines(History.of((*run.context, *run.history)))))
            return folder / f"{stem}.json"
    raise AssertionError("count() ended")


def _place(path: Path, content: bytes) -> bool:
    """Make a whole file appear at once; False, and nothing done, when the name is taken."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".coordchaos-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return _rename_to_free(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _rename_to_free(temporary: str, path: Path) -> bool:
    """rename(2) overwrites and link(2) does not; some file systems have no links, there we look first."""
    os.chmod(temporary, 0o644)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        if path.exists():
            return False
        os.rename(temporary, path)
    return True
