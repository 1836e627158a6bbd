"""What all tests share: pytester, for tests that run pytest."""

from __future__ import annotations

pytest_plugins = ["pytester"]
