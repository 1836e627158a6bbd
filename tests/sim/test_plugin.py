"""The simulator from pytest: test bodies as on any runtime, virtual time, replays, explorations and campaigns."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PROGRAMS = Path(__file__).with_name("programs")

RAFT = """
import pytest
from pytest_coordchaos import CapabilityError

@pytest.mark.coordchaos(nodes=5, faults=["partition:halves", "kill:leader"], seconds=60)
@pytest.mark.coordination_budget(messages_per_op=40)
def test_a_minute(raft_kv):
    run = raft_kv.run("register", rate_per_s=5)
    assert 59 < (run.end_ns - run.start_ns) / 1e9 < 80

def test_verbs(raft_kv):
    old = raft_kv.leader()
    with raft_kv.isolate(old) as fault:
        assert fault.verified and raft_kv.faults == (fault.words,)
        raft_kv.wait_until(lambda: raft_kv.leader() != old)
        with pytest.raises(CapabilityError, match="a simulated node has no real address"):
            raft_kv.address(old, "client")
    assert raft_kv.faults == ()
    raft_kv.wait_healed()
    with raft_kv.kill(old):
        assert raft_kv.state(old) == "dead"
    assert raft_kv.ledger().messages
    with raft_kv.record("put", key="x", value=1) as op:
        op.ok()

@pytest.mark.coordchaos(nodes=3, faults=["partition:halves"], seconds=4)
def test_many(raft_kv):
    found = raft_kv.explore("register", seeds=3, rate_per_s=20, progress_s=5.0)
    print(found.summary)
    assert [result.seed for result in found.results] == [0, 1, 2] and found.failed is None

@pytest.mark.coordchaos(nodes=3, seconds=2)
@pytest.mark.coordination_budget(messages_per_op=1)
def test_too_dear(raft_kv):
    raft_kv.run("register", rate_per_s=20)
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """pytest in a process of its own, with clusters switched on and a known seed."""
    return pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-W", "ignore", "--coordchaos", "--coordchaos-seed=7", *arguments, timeout=240
    )


def test_bodies_run_in_virtual_time_and_a_failure_replays_to_the_bit(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_raft=RAFT)
    outputs = [run(pytester, "--coordchaos-runtime=sim", "--coordchaos-report=out", "-s").stdout.str() for _ in range(2)]

    assert "3 passed" in outputs[0], outputs[0]
    assert "1 failed" in outputs[0]
    assert "runtime sim" in outputs[0]
    dear = [re.findall(r"messages_per_op exceeded: [^\n]*", output) for output in outputs]
    assert dear[0]
    assert dear[0] == dear[1]
    histories = [sorted(path.read_text() for path in folder.rglob("*.jsonl")) for folder in sorted(Path("out").iterdir())]
    assert histories[0]
    assert histories[0] == histories[1]


def test_coroutines_run_unchanged_and_share_no_globals(pytester: pytest.Pytester) -> None:
    (pytester.path / "shop.py").write_text((PROGRAMS / "shop.py").read_text())
    pytester.makepyfile(
        test_shop="""
        import shop
        from pytest_coordchaos import Port, System

        def test_shop(coordchaos):
            mains = {"server": shop.server, "caller": shop.caller}
            system = System.from_coroutines(mains, ports=[Port("rpc", number=8000, protocol="json-lines")])
            with coordchaos.start(system) as cluster:
                cluster.wait_until(lambda: cluster.log("caller").count("got") == 3)
                with cluster.kill("server"):
                    cluster.wait_until(lambda: "failed" in cluster.log("caller"))
                cluster.wait_until(lambda: cluster.log("caller").count("got") == 5)
                print(cluster.log("caller"), cluster.log("server"))
                assert shop.served == []
        """
    )
    outputs = [run(pytester, "-s").stdout.str() for _ in range(2)]

    assert "1 passed" in outputs[0], outputs[0]
    got = [re.findall(r"got \d.*", output) for output in outputs]
    assert got[0] == got[1]
    assert re.findall(r"served before: \d", outputs[0]) == ["served before: 0", "served before: 3"], "files survive a kill"
    assert not (pytester.path / "served").exists(), "and are the node's own"
    numbers = [line.split()[1] for line in got[0]]
    assert numbers == ["1", "2", "3", "2", "3"], "a new life begins with fresh globals; its first caller is the probe of its port"
    assert all(line.split()[3:5] == ["0", "0"] for line in got[0]), "the caller's copy was never served"
    assert got[0][0].split()[2].startswith("00:16:"), "datetime.now is virtual"


@pytest.mark.skipif(find_spec("aiohttp") is None, reason="aiohttp is not installed")
def test_an_aiohttp_server_and_client_run_unchanged(pytester: pytest.Pytester) -> None:
    (pytester.path / "web.py").write_text((PROGRAMS / "web.py").read_text())
    pytester.makepyfile(
        test_web="""
        import web
        from pytest_coordchaos import Port, System

        def test_web(coordchaos):
            mains = {"server": web.server, "client": web.client}
            with coordchaos.start(System.from_coroutines(mains, ports=[Port("http", number=8080, protocol="http1")])) as cluster:
                cluster.wait_until(lambda: "n 3" in cluster.log("client"))
                with cluster.partition({"server"}, {"client"}):
                    cluster.wait_until(lambda: "failed TimeoutError" in cluster.log("client"))
                cluster.wait_until(lambda: "n 6" in cluster.log("client"))
                assert {m.message_class for m in cluster.ledger()} == {"POST", "response"}
        """
    )

    assert run(pytester).ret == 0
