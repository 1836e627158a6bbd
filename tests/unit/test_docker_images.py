"""What goes into the image of `entry` nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_coordchaos.errors import UsageError
from pytest_coordchaos.runtimes.docker_images import sources_of


def test_the_sources_of_a_module_are_its_package_without_what_python_writes_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not the file that compiled code is written to before it is renamed: another worker may do that at this moment."""
    inner, cache = tmp_path / "shop_of_ours" / "inner", tmp_path / "shop_of_ours" / "inner" / "__pycache__"
    cache.mkdir(parents=True)
    for path in (tmp_path / "shop_of_ours" / "__init__.py", inner / "node.py", inner / "data.json", inner / "old.pyc"):
        path.write_bytes(path.name.encode())
    for name in ("node.cpython-311.pyc", "node.cpython-311.pyc.140061", "node.cpython-311-pytest-9.0.1.pyc.4711"):
        (cache / name).write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    assert sources_of(["shop_of_ours.inner.node", "shop_of_ours"]) == {
        "shop_of_ours/__init__.py": b"__init__.py",
        "shop_of_ours/inner/data.json": b"data.json",
        "shop_of_ours/inner/node.py": b"node.py",
    }


def test_a_module_that_is_one_file_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stall_of_ours.py").write_bytes(b"pass")
    monkeypatch.syspath_prepend(tmp_path)
    assert sources_of(["stall_of_ours"]) == {"stall_of_ours.py": b"pass"}


@pytest.mark.parametrize("module", ["nowhere_to_be_found.node", "sys"])
def test_a_module_without_a_file_is_refused(module: str) -> None:
    with pytest.raises(UsageError, match=r"^Module '(nowhere_to_be_found|sys)' of the System's entry cannot be put into"):
        sources_of([module])
