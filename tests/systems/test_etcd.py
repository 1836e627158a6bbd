"""Somebody else's program: three unmodified etcd servers, cut from each other pair by pair."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pytest_coordchaos import Cluster, Status
from pytest_coordchaos.run import InvariantRequest, TestRequest
from tests.requirements import require
from tests.systems.etcd_system import ETCD, connect, etcd_system, get, post, text

pytestmark = pytest.mark.needs("etcd")
LINEARIZABLE = (InvariantRequest(name="linearizable"),)


@pytest.fixture
def etcd(session):
    require("etcd", ETCD is not None, "etcd is not on PATH (Debian: apt-get install etcd-server)")
    with session.start(etcd_system(3)) as cluster:
        yield cluster


def test_registers_are_linearizable_while_the_leader_is_cut_off(session, etcd: Cluster) -> None:
    old = etcd.leader()
    session.begin_test(TestRequest(test="etcd", seed=11))
    with etcd.isolate(old) as fault:
        assert fault.verified
        run = etcd.run("register", seconds=4)
    session.end_test()

    assert [verdict.status for verdict in run.verdicts] == [Status.HELD], run.verdicts
    assert run.figures.ok > 20
    assert not run.ledger.bypasses
    assert {message.link.port for message in run.ledger} == {"client"}, "peer traffic is declared as bytes: no messages"


def test_a_serializable_read_at_the_old_leader_is_caught_as_stale(session, etcd: Cluster) -> None:
    """Isolate the leader, write on the majority, read at the old leader (Jepsen on etcd 0.4.1, 2014, and 3.4.3, 2020)."""
    old = etcd.leader()
    new = next(node for node in etcd.nodes if node != old)
    session.begin_test(TestRequest(test="etcd stale", seed=12, invariants=LINEARIZABLE))

    def put(node: str, value: int) -> None:
        with closing(connect(etcd, node)) as connection:
            post(connection, "/v3/kv/put", {"key": text("x"), "value": text(str(value))})

    with etcd.record("put", key="x", value=1, node=old) as op:
        op.ok(put(old, 1))
    with etcd.isolate(old):
        etcd.wait_until(lambda: put(new, 1) is None, what="a new leader")
        with etcd.record("put", key="x", value=2, node=new) as op:
            op.ok(put(new, 2))
        with etcd.record("get", key="x", node=old) as op, closing(connect(etcd, old)) as connection:
            op.ok(get(connection, "x", serializable=True))
    (run,) = session.end_test()
    (verdict,) = run.verdicts

    assert verdict.status is Status.VIOLATED
    shown = "\n".join(verdict.details)
    assert "put" in shown
    assert "get" in shown
    assert old in shown
    assert not run.ledger.bypasses


def test_each_member_has_a_hosts_file_of_its_own(etcd: Cluster) -> None:
    """Nothing of it shows outside: the machine's own hosts file names no member."""
    assert "n1" not in Path("/etc/hosts").read_text().split()
