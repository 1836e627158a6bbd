"""The command `coordchaos`: one subcommand per file, loaded when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

__all__ = ["COMMANDS", "Command", "main"]

USAGE_ERROR = 64
"""Exit code of bad usage (EX_USAGE of sysexits.h); 1 and 2 are verdicts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A subcommand.

    Args:
        module: Where `add_arguments(parser)` and `run(arguments) -> exit code` live; imported when needed.
        help: One line.
    """

    module: str
    help: str


COMMANDS: dict[str, Command] = {
    "check": Command(module="pytest_coordchaos.cli_check", help="check a recorded history, or many, for linearizability"),
    "relay": Command(module="pytest_coordchaos.cli_relay", help="run the relay by itself, as a drop-in for toxiproxy-server"),
    "campaign": Command(module="pytest_coordchaos.cli_campaign", help="run one test in the simulator with many seeds"),
    "mutants": Command(module="pytest_coordchaos.cli_mutants", help="try systems with a known bug each: is it noticed?"),
    "trace": Command(module="pytest_coordchaos.cli_trace", help="say where two simulated runs parted"),
}
"""Subcommand name -> where it lives."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn; exit() raises
        self.print_usage(sys.stderr)
        self.exit(USAGE_ERROR, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code (64: bad usage)."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(
        prog="coordchaos", description="Chaos tests for distributed systems that also assert what coordination costs."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    runs: dict[str, Callable[[argparse.Namespace], int]] = {}
    for name, command in COMMANDS.items():
        if words[:1] != [name]:
            subparsers.add_parser(name, help=command.help)
            continue
        module = import_module(command.module)
        module.add_arguments(subparsers.add_parser(name, help=command.help, **module.PARSER))
        runs[name] = module.run
    try:
        arguments = parser.parse_args(words)
        return runs[arguments.command](arguments)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else USAGE_ERROR
    except BrokenPipeError:  # the reader of our output has left
        sys.stderr.close()
        return 1


if __name__ == "__main__":
    sys.exit(main())
