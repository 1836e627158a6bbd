"""House rules that a machine can keep: lengths, docstrings, honest type ignores, no stray words."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for room in ("pytest_coordchaos", "reference_systems") for path in (ROOT / room).rglob("*.py"))
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 50


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_source_file_keeps_the_house_rules(path: Path) -> None:
    """One job a file, one thought a function, a docstring on every module and public thing."""
    text = path.read_text()
    tree = ast.parse(text)
    long = [
        f"{node.name} {node.end_lineno - node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno > MAX_FUNCTION_LINES
    ]

    assert text.count("\n") <= MAX_FILE_LINES
    assert not long
    assert ast.get_docstring(tree) or not text.strip()
    assert not re.search(r"type: ignore(?!\[[a-z-]+(, ?[a-z-]+)*\])|type: ignore\[[^]]*\] *$", text, re.MULTILINE), "no reason"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_things_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not node.name.startswith("test_")
    ]

    assert not bare


def test_no_tracked_file_names_a_machine_or_leaves_work_open() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    words = re.compile("/" + "work/|/" + "root/|TO" + "DO|FIX" + "ME|NotImplemented" + "Error")
    found = [
        f"{name}: {match.group()}"
        for name in tracked.stdout.split()
        if (ROOT / name).is_file() and (ROOT / name).suffix in {".py", ".md", ".toml", ".cfg", ".json", ".yaml"}
        for match in [words.search((ROOT / name).read_text(errors="replace"))]
        if match
    ]

    assert not found
