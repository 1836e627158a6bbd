"""Files of a container as an engine hands them over."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from pytest_coordchaos.runtimes.docker_containers import read_text

TEXT = "x" * 700


class _Engine:
    """An engine that gives the first bytes of an archive: it had told the size of the file that was there before."""

    def __init__(self, whole: bytes) -> None:
        self.whole = whole

    def get_archive(self, id: str, path: str) -> tuple[list[bytes], dict[str, Any]]:
        return [self.whole], {}


@pytest.mark.parametrize(("given", "read"), [(None, TEXT), (900, None), (0, None)])
def test_a_file_that_came_in_part_is_not_there(given: int | None, read: str | None) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("said")
        entry.size = len(TEXT)
        tar.addfile(entry, io.BytesIO(TEXT.encode()))
    whole = out.getvalue()[:given]
    assert read_text(_Engine(whole), "id", "/said") == read  # type: ignore[arg-type]  # the one call of the SDK that is made
