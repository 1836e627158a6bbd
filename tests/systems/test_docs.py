"""The documentation is executed: every page's files are written, every console block is run and compared.

A ```python block whose first line is `# file: NAME` becomes that file. A ```console block holds `$ command` lines, each
followed by the output it must show: line by line, in order, where `...` stands for anything.
"""

from __future__ import annotations

import ast
import fnmatch
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if name == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_are_python(page: Path) -> None:
    for block in _blocks(page, "python"):
        ast.parse(block)


def test_public_names_in_the_docs_exist() -> None:
    import pytest_coordchaos

    imported = {
        name.strip()
        for page in PAGES
        for block in _blocks(page, "python")
        for line in re.findall(r"^from pytest_coordchaos import (.*)$", block, re.MULTILINE)
        for name in line.split(",")
    }

    assert imported
    assert imported <= set(pytest_coordchaos.__all__)


EXECUTED = ("tutorial/first-failure", "how-to/faults-by-hand", "how-to/check-a-history", "how-to/mutants", "how-to/crdt-laws")


@pytest.mark.parametrize("page", [f"docs/{name}.md" for name in EXECUTED])
def test_console_blocks_show_what_they_say(page: str, tmp_path: Path) -> None:
    for block in _blocks(ROOT / page, "python"):
        first, _, body = block.partition("\n")
        if first.startswith("# file: "):
            (tmp_path / first.removeprefix("# file: ")).write_text(body)
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    blocks = _blocks(ROOT / page, "console")
    assert blocks
    for block in blocks:
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, expected = command.partition("\n")
            shown = _run(line, tmp_path)
            missing = _first_missing(expected.splitlines(), shown.splitlines())
            assert missing is None, f"`{line}` of {page} does not show:\n{missing}\nbut:\n{shown}"


def _run(line: str, directory: Path) -> str:
    words = shlex.split(line)
    if words[0] == "pytest":
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:]]
    elif words[0] == "coordchaos":
        words = [sys.executable, "-m", "pytest_coordchaos.cli", *words[1:]]
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("COORDCHAOS", "PYTEST_ADDOPTS"))}
    environment = {**ours, "COLUMNS": "120", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, timeout=120).stdout


def _first_missing(expected: list[str], shown: list[str]) -> str | None:
    """The first expected line that does not follow in the output; None when all do."""
    rest = iter(shown)
    for want in (line.rstrip() for line in expected):
        pattern = re.sub(r"([\[\]?*])", r"[\1]", want).replace("...", "*")
        if want and not any(fnmatch.fnmatchcase(line.rstrip(), pattern) for line in rest):
            return want
    return None
