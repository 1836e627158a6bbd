"""The rules for nodes, kept by machine: the same file must run on real hosts and in a deterministic simulator."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEMS = ROOT / "reference_systems"
FILES = sorted(
    path
    for path in SYSTEMS.rglob("*.py")
    if path.is_relative_to(SYSTEMS) and path.parent.name not in ("kit", "demo") and not path.name.startswith("test_")
)
BANNED_MODULES = frozenset(
    {
        "time",
        "random",
        "os",
        "socket",
        "uuid",
        "threading",
        "signal",
        "subprocess",
        "sys",
        "secrets",
        "multiprocessing",
        "select",
        "selectors",
        "ssl",
    }
)
BANNED_CALLS = frozenset(
    {"asyncio.run", "asyncio.to_thread", "asyncio.Runner", "asyncio.new_event_loop", "hash", "id", "open", "input"}
)
TYPES_ONLY = frozenset({"random"})  # `random.Random` as the type of what env gives
MUTABLE_MAKERS = frozenset({"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict"})
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; "" for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_set(node: ast.expr) -> bool:
    """Visibly a set: a display, a comprehension, or a call of set or frozenset."""
    return isinstance(node, (ast.Set, ast.SetComp)) or (isinstance(node, ast.Call) and dotted(node.func) in ("set", "frozenset"))


def offences(source: str) -> list[str]:
    """What a file does that a node must not, with the line."""
    tree = ast.parse(source)
    found = [text for node in ast.walk(tree) for text in _of_node(node)]
    for statement in tree.body:
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        names = [dotted(target) for target in getattr(statement, "targets", [])]
        mutable = isinstance(value, MUTABLE) or (isinstance(value, ast.Call) and dotted(value.func) in MUTABLE_MAKERS)
        if mutable and names != ["__all__"]:
            found.append(f"{statement.lineno}: module state")
    return found


def _of_node(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name.split(".")[0] for alias in node.names]
        return [f"{node.lineno}: import {name}" for name in names if name in BANNED_MODULES - TYPES_ONLY]
    if isinstance(node, ast.ImportFrom):
        name = (node.module or "").split(".")[0]
        return [f"{node.lineno}: import {name}"] if name in BANNED_MODULES else []
    if isinstance(node, ast.Attribute) and dotted(node).startswith("random.") and dotted(node) != "random.Random":
        return [f"{node.lineno}: {dotted(node)}"]
    if isinstance(node, ast.Call) and dotted(node.func) == "random.Random":
        return [f"{node.lineno}: makes its own randomness"]
    if isinstance(node, ast.Call) and (dotted(node.func) in BANNED_CALLS or dotted(node.func).endswith(".run_in_executor")):
        return [f"{node.lineno}: calls {dotted(node.func)}"]
    if isinstance(node, ast.Global):
        return [f"{node.lineno}: global"]
    if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)) and is_set(node.iter):
        return [f"{node.iter.lineno}: iterates over a set"]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SYSTEMS).as_posix())
def test_a_reference_system_touches_the_world_only_through_kit(path: Path) -> None:
    """No clock, randomness, disk, socket, thread, signal or module state of its own."""
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from socket import socket",
        "def f():\n    import uuid",
        "import random\nx = random.random()",
        "import random\nr = random.Random(1)",
        "import asyncio\nasyncio.run(f())",
        "CACHE = {}",
        "SEEN: list[int] = []",
        "QUEUE = deque()",
        "def f():\n    global x",
        "for x in {'a', 'b'}:\n    pass",
        "y = [x for x in set(names)]",
        "loop.run_in_executor(None, f)",
        "h = hash('x')",
    ],
)
def test_the_rules_catch(source: str) -> None:
    """Each rule sees its offence."""
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef f(rng: random.Random) -> None: ...",
        "__all__ = ['a']",
        "X = (1, 2)",
        "for x in sorted({'a'}):\n    pass",
    ],
)
def test_the_rules_allow(source: str) -> None:
    """What nodes need is not forbidden."""
    assert offences(source) == []


def test_a_node_loads_the_standard_library_only() -> None:
    """Run as in an image without pip: isolated, no site packages, and nothing of the plugin is imported."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import reference_systems.kit.host\n"
        "import reference_systems.raft_kv.node, reference_systems.payments_2pc.broken\n"
        "top = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(top - set(sys.stdlib_module_names) - {'reference_systems', '__main__'}))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
