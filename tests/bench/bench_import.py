"""What the plugin, installed and switched off, adds to `pytest --collect-only`.

    python -m tests.bench.bench_import [--repeat 21]

Prints medians of runs with and without the plugin (and no other plugin), taken in turns, in CPU
milliseconds: wall time on a shared machine says more about its neighbours. Then what `-X importtime` says
of our modules; plugin.py itself is loaded by importlib, which importtime does not see, so it is in the whole
runs only. The target is under 10 ms. Nothing is asserted: a test pins the set of modules instead.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COLLECT = ("-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
PLUGIN = ("-p", "pytest_coordchaos.plugin")
ALONE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
OURS = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \| ( *)((?:pytest_coordchaos|reference_systems)[\w.]*)$", re.MULTILINE)


def main() -> None:
    """Run both measurements in a directory with one small test file."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeat", type=int, default=21)
    repeat = arguments.parse_args().repeat
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_one.py").write_text("def test_one(): pass\n")
        whole_runs(directory, repeat)
        imports(directory, repeat)


def whole_runs(directory: Path, repeat: int) -> None:
    """CPU time of whole runs; the difference is taken pair by pair, so that a slow moment hits both."""
    pairs = [(_cpu_ms(directory, *PLUGIN), _cpu_ms(directory)) for _ in range(repeat)]
    with_ms, without_ms = (statistics.median(times) for times in zip(*pairs, strict=True))
    added_ms = statistics.median(a - b for a, b in pairs)
    print("| with ms | without ms | added ms (median of pairs) | ratio |\n| --- | --- | --- | --- |")
    print(f"| {with_ms:.1f} | {without_ms:.1f} | {added_ms:.1f} | {with_ms / without_ms:.3f} |")


def imports(directory: Path, repeat: int) -> None:
    """The self times of our modules, by importtime."""
    runs = [_import_times(directory) for _ in range(repeat)]
    print("\n| module | self ms (median) |\n| --- | --- |")
    for module in runs[0]:
        print(f"| {module} | {statistics.median(run.get(module, 0) for run in runs) / 1000:.2f} |")
    print(f"| sum | {statistics.median(sum(run.values()) for run in runs) / 1000:.2f} |")


def _cpu_ms(directory: Path, *args: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *COLLECT, *args], cwd=directory, check=True, capture_output=True, env=ALONE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def _import_times(directory: Path) -> dict[str, int]:
    argv = [sys.executable, "-X", "importtime", *COLLECT, *PLUGIN]
    shown = subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True, env=ALONE).stderr
    return {match[4]: int(match[1]) for match in OURS.finditer(shown)}


if __name__ == "__main__":
    main()
