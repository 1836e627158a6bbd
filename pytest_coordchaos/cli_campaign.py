"""`coordchaos campaign`: one test of the simulator with many seeds, in worker processes, resumed where it was stopped."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_coordchaos.errors import CoordChaosError, UsageError
from pytest_coordchaos.simulation.campaigns import Look, Sent, Whole
from pytest_coordchaos.simulation.explore import Exploration, What, explore, trace, worker_of
from pytest_coordchaos.simulation.fingerprint import changes, fingerprint, short
from pytest_coordchaos.simulation.scenario import SeedResult
from pytest_coordchaos.simulation.trace_files import write

__all__ = ["PARSER", "add_arguments", "run"]

HELD, VIOLATED, UNKNOWN, USAGE_ERROR = 0, 1, 2, 64

PARSER: Mapping[str, object] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "description": "Run one test's experiment in the simulator with many seeds.",
    "epilog": """\
A test whose body is one call of run(...) or explore(...) gives its scenario (system, workload, fault words, seconds,
invariants, budgets), which is simulated with every seed. Any other test is run whole with every seed, with its
fixtures, its verbs and its own assertions; that is slower.

exit codes:
  0   every seed held
  1   a seed was violated
  2   a seed is unknown, or did not run the same way twice
  64  bad usage; the test makes no simulated run, or is skipped; FILE is of another test or environment

FILE holds one line for the environment and one for each seed: seed, verdict, trace_hash, operations,
virtual_s, wall_s, faults. Seeds that are in it already are not run again.""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("test", metavar="TEST", help="a test as pytest names it: path/test_file.py::test_name")
    parser.add_argument("--seeds", type=_seeds, default=range(100), metavar="A:B", help="seeds A to B - 1 (default: 0:100)")
    parser.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="worker processes (default: 1)")
    parser.add_argument(
        "--shard", type=_shard, default=(0, 1), metavar="I/N", help="only every N-th seed, from the I-th (1/N to N/N)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="one JSON line a seed; goes on where it was stopped")
    parser.add_argument(
        "--all-faults", action="store_true", help="every seed tries every fault word (default: each draws some of them)"
    )
    parser.add_argument("--whole", action="store_true", help="run the whole test with every seed, whatever its body")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write every step of the one seed; see coordchaos trace diff")
    parser.add_argument("--fingerprint", default="", metavar="WORD", help="say in what the environment differs from that one")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    if first.isdecimal() and (last.isdecimal() or not colon):
        found = range(int(first), int(last)) if colon else range(int(first), int(first) + 1)
        if found:
            return found
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; A:B with A below B, or one seed")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number from 1 to 1024")
    return int(text)


def _shard(text: str) -> tuple[int, int]:
    which, slash, of = text.partition("/")
    if slash and which.isdecimal() and of.isdecimal() and 1 <= int(which) <= int(of):
        return int(which) - 1, int(of)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; I/N with I from 1 to N")


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="coordchaos-") as place:
        log = Path(place, "log")
        try:
            return _traced(arguments, log) if arguments.trace else _campaign(arguments, log)
        except CoordChaosError as error:
            print(f"coordchaos campaign: {error}", file=sys.stderr)
            if "process ended" in str(error) and log.exists():
                print(log.read_text()[-2000:], file=sys.stderr)
            return USAGE_ERROR


def _campaign(arguments: argparse.Namespace, log: Path) -> int:
    shard, shards = arguments.shard
    tried = _looked(arguments, log)
    wanted = [seed for seed in arguments.seeds if seed % shards == shard]
    done = {} if arguments.json is None else _begun(arguments.json, arguments, tried.environment)
    found = _explored(tried, [seed for seed in wanted if seed not in done], arguments)
    return _concluded(found, [verdict for seed, verdict in done.items() if seed in wanted], arguments.test, tried.environment)


def _traced(arguments: argparse.Namespace, log: Path) -> int:
    if len(arguments.seeds) != 1:
        raise UsageError("--trace writes one seed; give it as --seeds N")
    tried, seed = _looked(arguments, log), arguments.seeds[0]
    result, lines = trace(tried.what, seed)
    write(arguments.trace, {"test": arguments.test, "seed": seed, "hash": result.trace_hash, **tried.environment}, lines)
    print(f"seed {seed} {result.verdict}: {result.summary or 'held'}\n{len(lines)} steps in {arguments.trace}")
    return {"held": HELD, "violated": VIOLATED}.get(result.verdict, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    what: What
    nodes: tuple[str, ...]
    environment: Mapping[str, Any]


def _looked(arguments: argparse.Namespace, log: Path) -> _Tried:
    """Perform the test once and see what every seed tries; say where the environment is not the expected one."""
    test = Whole(test=arguments.test, log=log)
    worker = worker_of(test)
    try:
        look: Look = worker.ask("look")
    finally:
        worker.close()
    environment = fingerprint(look.program)
    if arguments.fingerprint and (changed := changes(arguments.fingerprint, environment)):
        print(f"these may be other runs than those of the same seeds before: {', '.join(changed)}")
    plain = look.parts is not None and not arguments.whole
    if not plain:
        print("every seed runs the whole test")
    what = Sent(parts=look.parts or b"", swarm=not arguments.all_faults) if plain else test
    return _Tried(what=what, nodes=look.nodes, environment=environment)


def _explored(tried: _Tried, seeds: list[int], arguments: argparse.Namespace) -> Exploration:
    def told(result: SeedResult) -> None:
        if result.verdict != "held":
            print(f"seed {result.seed} {result.verdict}: {result.summary}", flush=True)
        if arguments.json is not None:
            with arguments.json.open("a") as file:
                file.write(json.dumps(result.as_plain()) + "\n")

    return explore(tried.what, seeds, nodes=tried.nodes, jobs=arguments.jobs, keep_going=arguments.keep_going, told=told)


def _concluded(found: Exploration, before: list[str], test: str, environment: Mapping[str, Any]) -> int:
    print(found.summary)
    if before:
        print(f"before: {len(before)} seeds of the file, {before.count('held')} held")
    failed = found.failed
    if failed is not None:
        print(f"Reproduce: coordchaos campaign {test} --seeds {failed.seed} --fingerprint {short(environment)}")
    verdicts = {result.verdict for result in found.results} | set(before)
    return VIOLATED if "violated" in verdicts else UNKNOWN if "unknown" in verdicts or found.diverged else HELD


def _begun(file: Path, arguments: argparse.Namespace, environment: Mapping[str, Any]) -> dict[int, str]:
    """Verdicts of the seeds that are in the file; begins it when there is none.

    Raises:
        UsageError: It is of another test, or of another environment: its seeds would not be the same runs.
    """
    how = {"campaign": arguments.test, "swarm": not arguments.all_faults, "whole": arguments.whole}
    own = {**how, "environment": environment}
    text = file.read_text() if file.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)  # it was stopped in the middle of a line
    if not whole.strip():
        file.write_text(json.dumps(own) + "\n")
        return {}
    try:
        head, *lines = map(json.loads, whole.splitlines())
        done = {int(line["seed"]): str(line["verdict"]) for line in lines}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is no file of a campaign ({error}); give another name") from None
    if changed := [*changes({name: head.get(name) for name in how}, how), *changes(head.get("environment", {}), environment)]:
        raise UsageError(f"{file} is of other runs ({'; '.join(changed[:5])}): the same seeds would differ; give another name")
    return done
