"""The walls between rooms: who may import whom, and what the pure rooms may not touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pytest_coordchaos"

LEAVES = {"errors", "verdicts", "clock", "history", "system", "cost.ledger", "run"}
MIDDLE = {"runtimes", "relay", "faults", "workloads", "checkers", "cost", "report"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "verdicts": set(),
    "clock": set(),
    "system": {"errors", "clock", "runtimes"},
    "history": {"errors"},
    "cost": {"errors", "verdicts", "history", "system", "run"},
    "checkers": {"errors", "verdicts", "history"},
    "faults": {"errors", "cost", "system", "clock", "run", "relay"},
    "workloads": {"errors", "clock", "history"},
    "relay": {"errors", "cost", "faults", "runtimes", "system"},
    "runtimes": {"errors", "system", "cost", "faults", "relay"},  # the last three: the simulator plays the relay's part
    "run": {"verdicts", "history", "cost"},
    "report": {"verdicts", "run", "history", "cost", "errors"},
    "settings": {"errors"},
    "mutants": {
        "errors",
        "verdicts",
        "run",
        "checkers",
        "cost",
        "faults",
        "simulation",
        "system",
        "workloads",
        "experiment",  # a mutant on a real runtime is an experiment
        "live_cluster",
    },
}
"""Room -> rooms it may import. Only what is needed: a new arrow is a decision."""

PURE = [
    "errors.py",
    "verdicts.py",
    "run.py",
    "judging.py",
    "system/liveness.py",
    "system/model.py",
    "system/protocols.py",
    "system/placeholders.py",
    "system/port.py",
    "system/recipe.py",
    "system/compose*.py",
    "history/model.py",
    "faults/machines.py",
    "faults/model.py",
    "faults/resolve.py",
    "faults/shapes.py",
    "faults/steps.py",
    "faults/triggers.py",
    "faults/words.py",
    "cost/*.py",
    "checkers/*.py",
    "mutants/model.py",
    "relay/framing/*.py",
    "relay/toxics/*.py",
    "relay/frame_*.py",
    "relay/toxiproxy/model.py",
]
IMPURE_MODULES = {"pytest", "socket", "asyncio", "threading", "subprocess", "selectors", "multiprocessing", "docker", "toxiproxy"}


def _imports(path: Path) -> Iterator[str]:
    """Modules a file imports when it is run; imports for type checkers only do not count."""
    tree = ast.parse(path.read_text())
    skipped = {id(inner) for node in ast.walk(tree) if _is_type_checking(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _room(module: str) -> str:
    return module.removeprefix("pytest_coordchaos.").partition(".")[0]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    place = PACKAGE / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert files
    arrows = {
        (_room(module), path.relative_to(PACKAGE).as_posix())
        for path in files
        for module in _imports(path)
        if module.startswith("pytest_coordchaos.") and _room(module) != room
    }
    forbidden = {(target, path) for target, path in arrows if target not in ALLOWED[room]}

    assert not forbidden


@pytest.mark.parametrize("pattern", PURE)
def test_a_pure_file_touches_no_socket_loop_thread_or_pytest(pattern: str) -> None:
    files = sorted(PACKAGE.glob(pattern))
    assert files, pattern
    touched = {(path.name, module) for path in files for module in _imports(path) if module.partition(".")[0] in IMPURE_MODULES}

    assert not touched


def test_reference_systems_use_the_public_api_only() -> None:
    used = {
        module
        for path in (ROOT / "reference_systems").rglob("*.py")
        for module in _imports(path)
        if module.startswith("pytest_coordchaos")
    }

    assert used <= {"pytest_coordchaos"}


def test_only_the_plugin_side_imports_pytest() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for module in _imports(path)
        if module.partition(".")[0] in ("pytest", "_pytest")
    }

    plugin_side = {"plugin.py", "conductor.py", "hookspecs.py", "options.py", "outcomes.py", "report/summary.py"}
    assert importers <= plugin_side | {"simulation/whole.py"}  # which is pytest, run by a campaign
