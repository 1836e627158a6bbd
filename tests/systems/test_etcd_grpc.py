"""A real etcd spoken to by its own client over gRPC: calls and streams are counted by their paths."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess

import pytest

from pytest_coordchaos import Cluster, Port
from tests.requirements import require
from tests.systems.etcd_system import ETCD, etcd_system
from tests.systems.wire_rig import counted

pytestmark = pytest.mark.needs("etcd")
ETCDCTL = shutil.which("etcdctl")
COUNT = 10
PUT, RANGE, TXN, WATCH = (f"/etcdserverpb.{name}" for name in ("KV/Put", "KV/Range", "KV/Txn", "Watch/Watch"))


@pytest.fixture(scope="module")
def etcd(session):
    require("etcd", bool(ETCD and ETCDCTL), "etcd or etcdctl is not on PATH (Debian: apt-get install etcd-server etcd-client)")
    ports = [Port("peer", number=2380), Port("client", number=2379, protocol="http2")]
    system = dataclasses.replace(etcd_system(1), ports=ports, roles={}, client=None, workloads={})
    with session.start(system) as cluster:
        yield cluster


def etcdctl(cluster: Cluster, *arguments: str, given: str = "") -> str:
    """Run etcd's own client through the link."""
    host, port = cluster.address("n1", "client")
    done = subprocess.run(
        [ETCDCTL or "", "--endpoints", f"{host}:{port}", *arguments],
        input=given, env={"PATH": os.defpath, "ETCDCTL_API": "3"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_n_puts_are_n_messages_each_way(session, etcd: Cluster) -> None:
    """Each on a connection of its own, as the client does it."""
    with counted(session, etcd) as seen:
        for n in range(COUNT):
            etcdctl(etcd, "put", "key", str(n))
        assert etcdctl(etcd, "get", "key").split() == ["key", str(COUNT - 1)]

    assert seen.between("clients", "n1") == ({PUT: COUNT, RANGE: 1},) * 2
    assert seen.framed_share() > 0.99, "also what came after each connection's last message"


def test_several_calls_of_one_connection_are_told_apart(session, etcd: Cluster) -> None:
    """A lock taken and given back: its header fields refer to those of calls before."""
    with counted(session, etcd) as seen:
        assert "held" in etcdctl(etcd, "lock", "l", "--", "echo", "held")

    calls = ("Lease/LeaseGrant", "Lease/LeaseKeepAlive", "KV/Txn", "KV/DeleteRange")
    there, back = seen.between("clients", "n1")
    assert there == back
    assert {f"/etcdserverpb.{name}" for name in calls} <= set(there)
    assert set(there.values()) == {1}


def test_a_watch_is_answered_by_one_message_per_event(session, etcd: Cluster) -> None:
    revision = json.loads(etcdctl(etcd, "put", "watched", "before", "--write-out", "json"))["header"]["revision"]
    with counted(session, etcd) as seen:
        host, port = etcd.address("n1", "client")
        watch = subprocess.Popen(
            [ETCDCTL or "", "--endpoints", f"{host}:{port}", "watch", "watched", "--rev", str(revision + 1)],
            env={"PATH": os.defpath, "ETCDCTL_API": "3"}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert watch.stdout is not None
        with watch, watch.stdout:
            for n in range(COUNT):
                etcdctl(etcd, "put", "watched", str(n))
                assert [watch.stdout.readline() for _ in range(3)] == ["PUT\n", "watched\n", f"{n}\n"]
            watch.terminate()

    there, back = seen.between("clients", "n1")
    assert there == {PUT: COUNT, WATCH: 1}
    assert back == {PUT: COUNT, WATCH: 1 + COUNT}
