"""Every test of this directory runs on our relay and on a real Toxiproxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.relay.conformance.deviations import DEVIATIONS
from tests.relay.conformance.rig import SERVERS, Api, Upstream, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A deviation is expected to fail on Toxiproxy; if it passes there, the table is wrong."""
    for item in items:
        mark = item.get_closest_marker("deviation")
        if mark is not None and "toxiproxy" in getattr(item, "callspec", _NoCall).params.values():
            item.add_marker(pytest.mark.xfail(strict=True, raises=_DIFFERS, reason=DEVIATIONS[mark.args[0]]))


# How Toxiproxy shows that it differs: another answer, none, or a dead process. A mistake of the test itself is none of these.
_DIFFERS = (AssertionError, OSError, pytest.fail.Exception)


class _NoCall:
    params: dict[str, object] = {}  # noqa: RUF012


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Api]:
    """One server for all tests that leave it whole."""
    with running(request.param) as api:
        yield api


@pytest.fixture
def api(server: Api) -> Iterator[Api]:
    """The server, without what the test made when it is over."""
    yield server
    server.call("POST", "/reset")
    while server.made:
        server.call("DELETE", f"/proxies/{server.made.pop()}")


@pytest.fixture(params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A server for this test alone, which may break it."""
    with running(request.param) as api:
        yield api


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Where proxies lead."""
    upstream = Upstream()
    yield upstream
    upstream.close()
