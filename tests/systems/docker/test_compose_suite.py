"""A team's suite on its compose project: markers, invariants, budgets and drawn faults, in a pytest run of its own."""

from __future__ import annotations

import pytest

from tests.systems.docker.compose_rig import PROJECTS
from tests.systems.docker.engine import BASE

CONFTEST = f"""
import http.client, json
import pytest
from pytest_coordchaos import Port, System

PORTS = {{
    "db": [Port("store", number=5432, protocol="json-lines", background=())],
    "api": [Port("http", number=8000, protocol="http1")],
}}

@pytest.fixture(scope="session")
def notes(coordchaos):
    with coordchaos.start(System.from_compose({str(PROJECTS / "notes")!r}, ports=PORTS, publish=False)) as cluster:
        yield cluster

@pytest.fixture(scope="session")
def announcing(coordchaos):
    with coordchaos.start(System.from_compose({str(PROJECTS / "announcing")!r})) as cluster:
        cluster.wait_until(lambda: "reader dials" in cluster.log("reader"))
        yield cluster

@pytest.fixture
def api(notes):
    def ask(method, key, value=None):
        connection = http.client.HTTPConnection(*notes.address("api", "http"), timeout=5)
        connection.request(method, f"/{{key}}", None if value is None else json.dumps(value))
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read()).get("value")
    return ask
"""

TESTS = """
import pytest

@pytest.mark.invariants("linearizable")
@pytest.mark.coordination_budget(messages_per_op=2)
def test_inside(notes, api):
    for value in range(3):
        with notes.record("write", key="k", value=value) as op:
            op.ok(api("PUT", "k", value))
        with notes.record("read", key="k") as op:
            op.ok(api("GET", "k"))

@pytest.mark.coordination_budget(messages_per_op=1)
def test_over(notes, api):
    with notes.record("read", key="k") as op:
        op.ok(api("GET", "k"))

@pytest.mark.invariants("linearizable")
def test_cut_off(notes, api):
    with notes.cut("api", "db", both_ways=True):
        with pytest.raises(AssertionError), notes.record("write", key="cut", value=1) as op:
            op.ok(api("PUT", "cut", 1))
    notes.wait_healed()
    with notes.record("read", key="cut") as op:
        op.ok(api("GET", "cut"))

@pytest.mark.invariants("linearizable")
def test_walked_around(announcing):
    with announcing.record("read", key="k") as op:
        op.ok(None)
    announcing.wait_until(lambda: announcing.ledger().bypasses)
"""


def test_a_suite_on_a_compose_project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COORDCHAOS_BASE_IMAGE", BASE)
    monkeypatch.setenv("COLUMNS", "200")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_notes=TESTS)

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--coordchaos", timeout=240)

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_over _*",
            "messages_per_op exceeded: 2 > 1 messages (*",
            "Run: notes, 5 nodes, runtime docker; 1 operation *",
            "*_ test_walked_around _*",
            "*port 9093 of broker (*) was reached round the relay from reader (*)*",
        ]
    )
