"""What a test needs that may be absent: a skip with the reason, or a failure where it is required."""

from __future__ import annotations

import os

import pytest

__all__ = ["require"]


def require(name: str, present: bool, reason: str) -> None:
    """Skip the test with the reason unless `present`; fail it where COORDCHAOS_REQUIRE (comma separated) names it."""
    if present:
        return
    wanted = {word.strip() for word in os.environ.get("COORDCHAOS_REQUIRE", "").split(",")}
    if name in wanted:
        pytest.fail(f"{name} is required by COORDCHAOS_REQUIRE, but {reason}", pytrace=False)
    pytest.skip(reason)
