"""What checking costs: `python -m tests.bench.bench_checker [--operations N]`. Prints a table; asserts nothing about time.

Each row compares the check with a floor measured in the same run: for recorded runs the replay of one
given order (nothing can check without looking at every operation once), for files the parsing.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_coordchaos.checkers.certificate import by_completion, is_certificate
from pytest_coordchaos.checkers.choosing import model_of
from pytest_coordchaos.checkers.linearizable import Budget, Finding, examine, objects_of
from pytest_coordchaos.checkers.models import Model
from pytest_coordchaos.checkers.registers import key_value
from pytest_coordchaos.cli_check import parse_model
from pytest_coordchaos.history.model import Operation
from pytest_coordchaos.history.readers import read_history
from tests.unit.histories import long_history

ORACLE = Path(__file__).resolve().parents[2].parent / "shared" / "oracle"
T = TypeVar("T")
RUNS: tuple[tuple[str, dict[str, object]], ...] = (
    ("1 key", {"keys": 1}),
    ("10 keys", {"keys": 10}),
    ("1 key, 2 % crashed", {"keys": 1, "crashed": 0.02}),
    ("5 keys, 2 % crashed", {"keys": 5, "crashed": 0.02}),
    ("5 keys, 2 % crashed, mismatches kept", {"keys": 5, "crashed": 0.02, "mismatches": True}),
    ("1 key, deletes (search)", {"keys": 1, "deletes": 0.05}),
    ("5 keys, deletes, 2 % crashed (search)", {"keys": 5, "deletes": 0.05, "crashed": 0.02}),
)


def timed(work: Callable[[], T], repeat: int) -> tuple[float, T]:
    """Median milliseconds of `repeat` runs, and the last result."""
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        result = work()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times), result


def replay(operations: Sequence[Operation], model: Model) -> bool:
    """The floor: every object's operations once, in one order; legal or not."""
    ordered = [by_completion(of_key) for of_key in objects_of(operations, model).values()]
    lenient = Model(name="floor", initial=model.initial, step=lambda state, op: (True, model.step(state, op)[1]))
    return all(is_certificate(order, lenient) for order in ordered)


def bench_runs(operations: int, clients: int, repeat: int) -> None:
    """Runs as this project records them: unique values, ten clients, crashed operations."""
    print(f"\nrecorded runs: {operations:,} operations, {clients} clients, get/put/cas with unique values")
    print(f"{'':<42}{'check ms':>10}{'floor ms':>10}{'ratio':>7}{'configurations':>16}  verdict")
    for name, shape in RUNS:
        shape = {**shape, "crashed": int(float(str(shape.get("crashed", 0))) * operations)}
        history, model = long_history(operations, clients, **shape), key_value()  # type: ignore[arg-type]  # keyword table
        check_ms, finding = timed(partial(check, history, model), repeat)
        floor_ms, _ = timed(partial(replay, history, model), repeat)
        line = f"{name:<42}{check_ms:>10.1f}{floor_ms:>10.1f}{check_ms / floor_ms:>7.1f}{finding.configurations:>16,}"
        print(f"{line}  {finding.status}", flush=True)


def check(operations: Sequence[Operation], model: Model) -> Finding:
    """The whole check, 60 s at most."""
    return examine(operations, model, Budget(seconds=60, now_s=time.monotonic))


def bench_oracle(repeat: int) -> None:
    """The histories with known verdicts, where they are at hand."""
    if not ORACLE.is_dir():
        print(f"\nhistories with known verdicts: none at {ORACLE}")
        return
    print("\nhistories with known verdicts")
    print(f"{'':<42}{'check ms':>10}{'parse ms':>10}{'ratio':>7}{'worst ms':>10}  worst file")
    for group, wanted in (("etcd", "etcd_"), ("kv", "kv/"), ("kv c50", "kv/c50"), ("knossos", "")):
        rows = list(_rows("knossos" if group == "knossos" else "porcupine", wanted))
        checks, parses = [], []
        for path, format, text in rows:
            parse_ms, history = timed(partial(read_history, path, format), repeat)
            model = model_of(history, parse_model(text, format))
            check_ms, _ = timed(partial(check, history.operations, _known(model)), repeat)
            checks.append((check_ms, path.name))
            parses.append(parse_ms)
        total, (worst_ms, worst) = sum(ms for ms, _ in checks), max(checks)
        name = f"{group}: {len(rows)} files"
        print(f"{name:<42}{total:>10.1f}{sum(parses):>10.1f}{total / sum(parses):>7.2f}{worst_ms:>10.1f}  {worst}", flush=True)


def _known(model: Model | None) -> Model:
    if model is None:
        raise ValueError("a listed history without a model")
    return model


def _rows(folder: str, wanted: str) -> list[tuple[Path, str, str]]:
    with (ORACLE / folder / "MANIFEST.tsv").open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return [(ORACLE / folder / row["file"], row["format"], row["model"]) for row in rows if wanted in row["file"]]


def main() -> None:
    """Parse the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3, help="median of so many")
    arguments = parser.parse_args()
    bench_runs(arguments.operations, arguments.clients, arguments.repeat)
    bench_oracle(arguments.repeat)


if __name__ == "__main__":
    main()
