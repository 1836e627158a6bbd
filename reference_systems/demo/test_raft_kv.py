"""Five Raft nodes as real processes, under load, while the network and the machines misbehave.

Each test asserts on one run that the store stays linearizable *and* what that costs. The numbers:
a put costs 2(n-1) = 8 messages between five nodes when nothing is wrong (Ongaro & Ousterhout 2014).
"""

import pytest

from pytest_coordchaos import Cluster


@pytest.mark.coordchaos(nodes=5)
@pytest.mark.invariants("linearizable")
@pytest.mark.coordination_budget(op="put", messages_per_op=8.8, p99_ms=250)
def test_a_put_costs_what_raft_says(raft_kv: Cluster) -> None:
    """One client at a time, nothing wrong: within 10 % of the floor."""
    raft_kv.run("register", seconds=4, clients=1, read_share=0.0, cas_share=0.0)


@pytest.mark.coordchaos(nodes=5, faults=["partition:halves", "partition:majorities-ring"], seconds=9)
@pytest.mark.coordination_budget(messages_per_op=16)
def test_linearizable_while_partitioned(raft_kv: Cluster) -> None:
    """`register` brings the invariant that fits it: linearizable."""
    raft_kv.run("register", rate_per_s=150)


@pytest.mark.coordchaos(nodes=5, faults=["kill:leader", "pause:leader"], seconds=9)
@pytest.mark.coordination_budget(messages_per_op=16)
def test_linearizable_while_leaders_die_and_freeze(raft_kv: Cluster) -> None:
    raft_kv.run("register", rate_per_s=150)


@pytest.mark.coordchaos(nodes=5, faults=["slow:20"], seconds=6)
@pytest.mark.coordination_budget(messages_per_op=10, p50_ms=250)
def test_slow_links_cost_time_not_messages(raft_kv: Cluster) -> None:
    """A follower passes a put on: four links of 20 ms. Twenty clients are plenty, so that none waits for another."""
    raft_kv.run("register", rate_per_s=60, clients=20)


def test_a_cut_off_leader_answers_nobody(raft_kv: Cluster) -> None:
    """The same faults by hand: verbs act when called and undo themselves."""
    old = raft_kv.leader()
    with raft_kv.isolate(old):
        raft_kv.wait_until(lambda: raft_kv.leader() != old)
        run = raft_kv.run("register", seconds=2, rate_per_s=100)
        assert run.figures.ok > 0
    raft_kv.wait_healed()
